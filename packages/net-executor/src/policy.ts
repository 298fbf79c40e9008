import { CodedError, cidrContains, parseIpv4, parseIpv4Cidr, type TenantNet } from '@mvm/protocol';
import { DEFAULT_LIMITS } from './base-tables.js';

/**
 * What a guest may reach outside its tenant. `none`: nothing; `internet`: public addresses only, private ranges and
 * link-local blocked; `open`: whatever the uplinks reach.
 */
export type EgressVerdict = 'none' | 'internet' | 'open';

/** Destinations that are excepted from the verdict. */
export interface EgressException {
  /** Canonical CIDR. */
  readonly cidr: string;
  /** All protocols when absent. */
  readonly protocol?: 'tcp' | 'udp' | undefined;
  /** First and last port, 1…65535; all when absent. Needs a protocol. */
  readonly ports?: readonly [number, number] | undefined;
}

/** A port of the host's uplinks that leads to a guest. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp';
  /** On every local address of an uplink, 1…65535; each but once per host. */
  readonly hostPort: number;
  /** The guest's address, in the tenant's subnet. */
  readonly guestIp: string;
  /** 1…65535. */
  readonly guestPort: number;
}

/** How much each guest may, by its source address. */
export interface GuestLimits {
  readonly newPerSecond: number;
  readonly newBurst: number;
  readonly connections: number;
  /** Kilobits per second in each direction; null: as much as the link carries. */
  readonly bandwidthKbit: number | null;
}

/** What a tenant's guests may do on the network. A pool's policy is a tenant's with some fields replaced. */
export interface NetworkPolicy {
  readonly egress: EgressVerdict;
  /** Reached though the verdict says no. */
  readonly allow: readonly EgressException[];
  /** Not reached though the verdict says yes; stronger than `allow`. */
  readonly deny: readonly EgressException[];
  readonly publish: readonly PublishedPort[];
  /** Whether instances of the tenant are kept from each other too. */
  readonly isolateInstances: boolean;
  readonly limits: GuestLimits;
}

/** What applies to a tenant that says nothing else. */
export const DEFAULT_POLICY: NetworkPolicy = {
  egress: 'internet',
  allow: [],
  deny: [],
  publish: [],
  isolateInstances: false,
  limits: {
    newPerSecond: DEFAULT_LIMITS.newPerSecond,
    newBurst: DEFAULT_LIMITS.newBurst,
    connections: DEFAULT_LIMITS.connections,
    bandwidthKbit: null,
  },
};

/** A whole policy from a wish that may leave fields out. */
export function completePolicy(wish: Partial<NetworkPolicy> = {}): NetworkPolicy {
  return { ...DEFAULT_POLICY, ...wish, limits: { ...DEFAULT_POLICY.limits, ...wish.limits } };
}

// A policy that is accepted is enforced: what has no rules yet is refused, never ignored.
function unenforced(policy: NetworkPolicy): string[] {
  const { allow, deny, isolateInstances, limits } = policy;
  const sameLimits = Object.entries(DEFAULT_POLICY.limits).every(
    ([name, value]) => limits[name as keyof GuestLimits] === value,
  );
  return [
    ...(allow.length > 0 ? ['allow'] : []),
    ...(deny.length > 0 ? ['deny'] : []),
    ...(isolateInstances ? ['isolateInstances'] : []),
    ...(sameLimits ? [] : ['limits']),
  ];
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/**
 * Whether a tenant may have this policy. Throws `unimplemented`, reason `net.policy_unsupported`, for fields that cannot
 * be enforced yet; `invalid_argument`, reason `net.invalid_policy`, for a published port out of range or to an address
 * that is not a guest's.
 */
export function checkPolicy(net: TenantNet, wish: Partial<NetworkPolicy> | undefined): void {
  const policy = completePolicy(wish);
  const fields = unenforced(policy);
  if (fields.length > 0) {
    throw new CodedError({
      code: 'unimplemented',
      reason: 'net.policy_unsupported',
      message: `this version cannot enforce ${fields.join(', ')} of a network policy`,
      hint: 'Leave these fields out.',
    });
  }
  const subnet = parseIpv4Cidr(net.ipv4_subnet);
  for (const { hostPort, guestPort, guestIp } of policy.publish) {
    const inside = cidrContains(subnet, parseIpv4(guestIp)) && guestIp !== net.gateway_ip;
    if (inside && isPort(hostPort) && isPort(guestPort)) continue;
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'net.invalid_policy',
      message: `port ${String(hostPort)} cannot be published for ${net.ipv4_subnet}`,
      hint: "Ports are 1…65535, and the address is that of one of the tenant's instances.",
    });
  }
}
