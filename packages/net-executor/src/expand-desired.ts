import { macAddress, parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';
import { PRIVATE_RANGES } from './base-tables/limits.js';
import { tapMac } from './link-settings.js';
import { type CompletePolicy, completePolicy } from './policy.js';
import { type Profile, profileFor } from './profile.js';
import { elementId, type NetElement } from './sets.js';
import type {
  DesiredHostNetwork,
  GuestPort,
  NetworkContext,
  ObservedNetwork,
  PolicyRule,
  Sysctl,
  TenantGuests,
} from './types.js';

export interface DesiredBridge {
  readonly name: string;
  readonly mac: string;
  /** The gateway with the subnet's prefix length. */
  readonly address: string;
}

export interface DesiredTap {
  readonly name: string;
  readonly bridge: string;
  readonly ownerUid: number;
  /** Of the TAP itself. */
  readonly mac: string;
  /** The only one behind it. */
  readonly guestMac: string;
  /** Its guest's address. */
  readonly ipv4: string;
}

/** What the kernel must have, object by object: the desired state expanded. */
export interface ExpandedNetwork {
  readonly bridges: readonly DesiredBridge[];
  readonly taps: readonly DesiredTap[];
  readonly rules: readonly PolicyRule[];
  readonly elements: readonly NetElement[];
  readonly profiles: readonly Profile[];
  readonly sysctls: readonly Sysctl[];
}

/** Per bridge, below `net/ipv4/conf/<bridge>/`. Source: kernel Documentation/networking/ip-sysctl.rst. */
export const BRIDGE_IPV4_SYSCTLS: Readonly<Record<string, string>> = {
  // Answer ARP only for the address on this bridge, never for another of the host's.
  arp_ignore: '1',
  rp_filter: '1',
  accept_redirects: '0',
  send_redirects: '0',
  route_localnet: '0',
  proxy_arp: '0',
  // Here and on the uplinks, instead of the switch for the whole host.
  forwarding: '1',
};

/** Whether the host forwards IPv4 between all its interfaces anyway. */
export const FORWARD_ALL_KEY = 'net/ipv4/conf/all/forwarding';

/** The key of an interface's own forwarding switch. */
export function forwardingKey(link: string): string {
  return `net/ipv4/conf/${link}/forwarding`;
}

/** The key of an interface's IPv6 switch; the kernel has it only when it has IPv6. */
export function disableIpv6Key(link: string): string {
  return `net/ipv6/conf/${link}/disable_ipv6`;
}

interface GuestPolicy {
  readonly policy: CompletePolicy;
  readonly profile: Profile | null;
}

function guestPolicy({ policies }: TenantGuests, poolId: string | undefined): GuestPolicy {
  const pool = poolId === undefined ? undefined : policies?.pools?.[poolId];
  const policy = completePolicy(policies?.tenant, pool);
  return { policy, profile: profileFor(policy) };
}

/** The chain that decides about what a guest with this policy sends. */
function outChain({ policy, profile }: GuestPolicy): string {
  return profile?.out ?? `egress_${policy.egress}`;
}

/** The profiles of a tenant's guests, each once. */
export function tenantProfiles(tenant: TenantGuests): Profile[] {
  // The usual case, and thousands of it.
  if (tenant.policies === undefined) return [];
  const profiles = tenant.ports.flatMap(({ poolId }) => guestPolicy(tenant, poolId).profile ?? []);
  return [...new Map(profiles.map((profile) => [profile.id, profile])).values()];
}

function publishElements({ policies, ports }: TenantGuests): NetElement[] {
  return Object.entries(policies?.pools ?? {}).flatMap(([poolId, { publish = [] }]) => {
    if (publish.length === 0) return [];
    const members = ports.filter((port) => port.poolId === poolId);
    const first = members.toSorted((a, b) => parseIpv4(a.ipv4) - parseIpv4(b.ipv4))[0];
    const elements = publish.flatMap(({ protocol, host_port, guest_port, instance_id }): NetElement[] => {
      const target =
        instance_id === undefined ? first : members.find(({ instanceId }) => instanceId === instance_id);
      if (target === undefined) return [];
      const guestPort = String(guest_port);
      return [
        { set: 'publish', key: [protocol, String(host_port)], value: `${target.ipv4} . ${guestPort}` },
        { set: 'published', key: [protocol, target.ipv4, guestPort] },
      ];
    });
    return elements;
  });
}

/** Two host ports may lead to the same port of a guest. */
function unique(elements: readonly NetElement[]): NetElement[] {
  return [...new Map(elements.map((element) => [elementId(element), element])).values()];
}

/** The elements that make a tenant's bridge one of ours, without its ports'. */
function tenantElements(tenant: TenantGuests): NetElement[] {
  const { net } = tenant;
  const bridge = net.bridge_name;
  const guest = guestPolicy(tenant, undefined);
  // With more of a policy than an egress each guest is named; one that is not named has no egress then.
  const plain = guest.profile === null && guest.policy.egress !== 'none';
  return [
    { set: 'bridges', key: [bridge] },
    { set: 'intra', key: [bridge, bridge] },
    { set: 'gw', key: [bridge, net.gateway_ip] },
    ...(plain ? [{ set: 'egress', key: [bridge], value: outChain(guest) } as const] : []),
    ...(tenant.policies?.pools === undefined ? [] : unique(publishElements(tenant))),
  ];
}

function policyElements(tenant: TenantGuests, { tapName, ipv4, poolId }: GuestPort): NetElement[] {
  if (tenant.policies === undefined) return [];
  const whole = guestPolicy(tenant, undefined);
  const guest = guestPolicy(tenant, poolId);
  const usual = whole.profile === null ? outChain(whole) : 'egress_none';
  const chain = outChain(guest);
  const { profile, policy } = guest;
  return [
    ...(chain === usual
      ? []
      : [
          { set: 'own_policy', key: [ipv4] } as const,
          { set: 'guest_out', key: [ipv4], value: chain } as const,
        ]),
    ...(profile?.in == null ? [] : [{ set: 'guest_in', key: [ipv4], value: profile.in } as const]),
    ...(policy.isolate_instances
      ? [{ set: 'isolated', key: [tapName] } as const, { set: 'isolated4', key: [ipv4] } as const]
      : []),
  ];
}

/** The elements that guard an instance's TAP, and apply its policy. */
function portElements(tenant: TenantGuests, port: GuestPort): NetElement[] {
  return [
    { set: 'taps', key: [port.tapName] },
    { set: 'port_mac', key: [port.tapName, port.mac] },
    { set: 'port_src', key: [port.tapName, port.mac, port.ipv4] },
    { set: 'ports', key: [port.tapName] },
    { set: 'self', key: [port.ipv4, port.ipv4] },
    ...policyElements(tenant, port),
  ];
}

/** All elements of a tenant and its ports. */
export function elementsOf(tenant: TenantGuests): NetElement[] {
  return [...tenantElements(tenant), ...tenant.ports.flatMap((port) => portElements(tenant, port))];
}

/** Uplinks that did not forward before us, each once. */
export function switchedUplinks(observed: ObservedNetwork, context: NetworkContext): string[] {
  const recorded = observed.elements.filter(({ set }) => set === 'switched').flatMap(({ key }) => key);
  return [...new Set([...recorded, ...(context.switched ?? [])])];
}

/** The elements that are there whatever the tenants are: where guests leave, and which ranges are whose. */
export function hostElements({ uplinks, clusterCidr, vmmUids }: HostRanges): NetElement[] {
  return [
    ...uplinks.map((uplink) => ({ set: 'uplinks', key: [uplink] }) as const),
    { set: 'pool4', key: [clusterCidr] },
    ...PRIVATE_RANGES.map((range) => ({ set: 'private4', key: [range] }) as const),
    ...(vmmUids === undefined
      ? []
      : [{ set: 'vmm_uids', key: [`${vmmUids.first}-${vmmUids.last}`] } as const]),
  ];
}

type HostRanges = Pick<NetworkContext, 'uplinks' | 'clusterCidr' | 'vmmUids'>;

function baseElements(observed: ObservedNetwork, context: NetworkContext): NetElement[] {
  const known = new Set(switchedUplinks(observed, context));
  const forwardsAnyway = observed.sysctls[FORWARD_ALL_KEY] === '1';
  const switched = context.uplinks.filter(
    (uplink) => !forwardsAnyway && (known.has(uplink) || observed.sysctls[forwardingKey(uplink)] === '0'),
  );
  return [
    ...hostElements(context),
    ...switched.map((uplink) => ({ set: 'switched', key: [uplink] }) as const),
  ];
}

function desiredSysctls(
  desired: DesiredHostNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): Sysctl[] {
  const ipv6 = Object.hasOwn(observed.sysctls, disableIpv6Key('default'));
  const noIpv6 = (link: string): Sysctl[] => (ipv6 ? [{ key: disableIpv6Key(link), value: '1' }] : []);
  const uplinks = context.uplinks
    .filter((uplink) => Object.hasOwn(observed.sysctls, forwardingKey(uplink)))
    .map((uplink) => ({ key: forwardingKey(uplink), value: '1' }));
  return [
    ...uplinks,
    ...desired.tenants.flatMap(({ net, ports }) => [
      ...noIpv6(net.bridge_name),
      ...Object.entries(BRIDGE_IPV4_SYSCTLS).map(([name, value]) => ({
        key: `net/ipv4/conf/${net.bridge_name}/${name}`,
        value,
      })),
      ...ports.flatMap((port) => noIpv6(port.tapName)),
    ]),
  ];
}

/**
 * Every link, rule, element, profile and setting that follows from the desired state. `observed` is used only for what that depends
 * on: whether the kernel has IPv6, and which uplinks forwarded before us.
 */
export function expandDesired(
  desired: DesiredHostNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): ExpandedNetwork {
  if (context.base === 'absent') {
    return { bridges: [], taps: [], rules: [], elements: [], profiles: [], sysctls: [] };
  }
  return {
    bridges: desired.tenants.map(({ net }) => ({
      name: net.bridge_name,
      mac: macAddress(net.tenant_net_id, 1),
      address: `${net.gateway_ip}/${parseIpv4Cidr(net.ipv4_subnet).prefixLength}`,
    })),
    taps: desired.tenants.flatMap(({ net, ports }) =>
      ports.map(({ tapName, ownerUid, mac, ipv4 }) => ({
        name: tapName,
        bridge: net.bridge_name,
        ownerUid,
        mac: tapMac(tapName),
        guestMac: mac,
        ipv4,
      })),
    ),
    rules: [
      { kind: 'local', cidr: context.clusterCidr },
      { kind: 'isolate', cidr: context.clusterCidr },
    ],
    elements: [...baseElements(observed, context), ...desired.tenants.flatMap(elementsOf)],
    profiles: [
      ...new Map(desired.tenants.flatMap(tenantProfiles).map((profile) => [profile.id, profile])).values(),
    ],
    sysctls: desiredSysctls(desired, observed, context),
  };
}
