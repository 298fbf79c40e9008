import { CodedError, isCodedError, quoteForMessage } from '@mvm/errors';
import { z } from 'zod';
import { isValidId } from './names/ids.js';
import { parseIpv4Cidr } from './names/ipv4.js';

const port = z.int().min(1).max(65_535);

/** Exceptions in each of `allow` and `deny`, at most. */
const MAX_NETWORK_EXCEPTIONS = 64;
/** The least bandwidth limit, in kilobits per second: below it, one large packet would wait for seconds. */
const MIN_BANDWIDTH_KBIT = 64;
/** Published ports of one pool, at most. */
const MAX_PUBLISHED_PORTS = 64;

/**
 * Destinations outside the tenant that are excepted from what `egress` says: an IPv4 network in canonical CIDR form, all
 * protocols when `protocol` is absent, all ports when `first_port` is. `last_port` is `first_port` when absent.
 */
export const networkExceptionSchema = z.strictObject({
  cidr: z.string().max(18),
  protocol: z.enum(['tcp', 'udp', 'icmp']).optional(),
  first_port: port.optional(),
  last_port: port.optional(),
});
export type NetworkException = z.infer<typeof networkExceptionSchema>;

/** How much each guest may. A field that is left out is as in the tenant's policy, and there as by default. */
export const networkLimitsSchema = z.strictObject({
  /** New connections (or flows) that a guest may open per second, on average. Default 200. */
  new_connections_per_second: z.int().min(1).max(100_000).optional(),
  /** How many more than that at once. Default: twice as many as per second. */
  new_connections_burst: z.int().min(1).max(65_535).optional(),
  /** Tracked connections of a guest at a time. Default 1000. */
  connections: z.int().min(1).max(1_000_000).optional(),
  /** Packets per second in each direction, between the guest and what is outside its tenant; 0, the default: no limit. */
  packets_per_second: z.int().min(0).max(10_000_000).optional(),
  /** Kilobits per second in each direction, as `packets_per_second`: 64 to 10 000 000; 0, the default: no limit. */
  bandwidth_kbit: z.int().min(0).max(10_000_000).optional(),
});
export type NetworkLimits = z.infer<typeof networkLimitsSchema>;

/** A port of the host's uplinks that leads to an instance of the pool. */
export const publishedPortSchema = z.strictObject({
  protocol: z.enum(['tcp', 'udp']),
  /** On every address of the host's uplinks; each but once per host and protocol. */
  host_port: port,
  guest_port: port,
  /** The instance that it leads to; when absent, the one with the lowest address among the pool's that run. */
  instance_id: z.string().max(63).optional(),
});
export type PublishedPort = z.infer<typeof publishedPortSchema>;

/**
 * What a tenant's guests may do on the network; what is left out is as by default (docs/networking.md#policy). Unknown
 * fields are refused, on the wire too: what a peer does not know it could not enforce.
 */
export const networkPolicySchema = z.strictObject({
  /** `none`: nothing outside the tenant; `internet`, the default: public addresses; `open`: whatever the uplinks reach. */
  egress: z.enum(['none', 'internet', 'open']).optional(),
  /** Reached though `egress` says no. Never another tenant, the host, or an interface that is no uplink. */
  allow: z.array(networkExceptionSchema).max(MAX_NETWORK_EXCEPTIONS).optional(),
  /** Not reached though `egress` or `allow` says yes. */
  deny: z.array(networkExceptionSchema).max(MAX_NETWORK_EXCEPTIONS).optional(),
  /** Whether an instance is kept from the other instances of its tenant. Default no. */
  isolate_instances: z.boolean().optional(),
  limits: networkLimitsSchema.optional(),
});
export type NetworkPolicy = z.infer<typeof networkPolicySchema>;

/** A pool's policy: its fields, and those of its limits, replace the tenant's one by one; and the pool's published ports. */
export const poolNetworkPolicySchema = networkPolicySchema.extend({
  publish: z.array(publishedPortSchema).max(MAX_PUBLISHED_PORTS).optional(),
});
export type PoolNetworkPolicy = z.infer<typeof poolNetworkPolicySchema>;

/** What is wrong with a policy that has the right shape. */
export interface NetworkPolicyProblem {
  /** Where, e.g. `['allow', 0, 'cidr']`. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

function exceptionProblem(exception: NetworkException): { field: string; message: string } | null {
  const { cidr, protocol, first_port, last_port } = exception;
  try {
    parseIpv4Cidr(cidr);
  } catch (error) {
    if (!isCodedError(error)) throw error;
    return { field: 'cidr', message: error.message };
  }
  if (first_port === undefined) {
    return last_port === undefined ? null : { field: 'first_port', message: 'last_port needs a first_port' };
  }
  if (protocol !== 'tcp' && protocol !== 'udp') {
    return { field: 'protocol', message: 'ports need the protocol tcp or udp' };
  }
  return last_port !== undefined && last_port < first_port
    ? { field: 'last_port', message: `last_port ${last_port} is below first_port ${first_port}` }
    : null;
}

/** The second, semantic look at a policy; empty when it can be enforced as it is. */
export function findNetworkPolicyProblems(policy: PoolNetworkPolicy): NetworkPolicyProblem[] {
  const problems: NetworkPolicyProblem[] = [];
  for (const list of ['allow', 'deny'] as const) {
    for (const [i, exception] of (policy[list] ?? []).entries()) {
      const problem = exceptionProblem(exception);
      if (problem !== null) problems.push({ path: [list, i, problem.field], message: problem.message });
    }
  }
  const bandwidthKbit = policy.limits?.bandwidth_kbit ?? 0;
  if (bandwidthKbit !== 0 && bandwidthKbit < MIN_BANDWIDTH_KBIT) {
    const message = `expected 0 (no limit) or at least ${MIN_BANDWIDTH_KBIT}`;
    problems.push({ path: ['limits', 'bandwidth_kbit'], message });
  }
  const taken = new Set<string>();
  for (const [i, { protocol, host_port, instance_id }] of (policy.publish ?? []).entries()) {
    const name = `${protocol} port ${host_port}`;
    if (taken.has(name))
      problems.push({ path: ['publish', i, 'host_port'], message: `${name} is given twice` });
    taken.add(name);
    if (instance_id !== undefined && !isValidId(instance_id)) {
      const message = `${quoteForMessage(instance_id)} is not an instance id`;
      problems.push({ path: ['publish', i, 'instance_id'], message });
    }
  }
  return problems;
}

/**
 * Whether a policy is one that can be enforced: of the schema's shape, with canonical networks, ports only where a
 * protocol has them and in order, no published port twice. After it, every text in it is safe in a script of `nft`.
 * Throws `invalid_argument`, reason `net.invalid_policy`, naming the first field that is wrong.
 * Source: docs/networking.md#policy.
 */
export function checkNetworkPolicy(policy: PoolNetworkPolicy): void {
  const shape = poolNetworkPolicySchema.safeParse(policy);
  const issue = shape.success ? findNetworkPolicyProblems(shape.data)[0] : shape.error.issues[0];
  if (issue === undefined) return;
  const path = issue.path.map(String).join('.') || 'policy';
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'net.invalid_policy',
    message: `the network policy cannot be enforced: ${quoteForMessage(path).slice(1, -1)}: ${printableLine(issue.message)}`,
    hint: 'Correct the field that is named; docs/networking.md describes the fields of a policy.',
    details: { path: quoteForMessage(path).slice(1, -1) },
  });
}

const MAX_ISSUE_LENGTH = 256;

// Names of unknown fields come from the caller.
function printableLine(message: string): string {
  return message.slice(0, MAX_ISSUE_LENGTH).replace(/[\p{C}\u2028\u2029]/gu, '?');
}
