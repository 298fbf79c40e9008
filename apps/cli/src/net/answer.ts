import { type PolicyPart, policiesOf } from '@mvm/net-executor';
import {
  DROP_MEANINGS,
  type PathAnswer,
  type PathStep,
  type PolicySource,
  policySource,
  traceInbound,
  traceOutbound,
} from '@mvm/net-executor/diagnose';
import { CodedError } from '@mvm/protocol';
import { formatAddress } from '../address/address.js';
import { adviseOn } from './advice.js';
import { findObstacles, type Obstacle, type Way } from './obstacles.js';
import type { WhyFacts } from './why-facts.js';

/** A part of a network policy with its origin, e.g. `deny[0]` of `pool acme/web`. */
export interface AnswerField {
  readonly field: string;
  readonly source: PolicySource;
  /** `acme/web`, `acme`; null for a default. */
  readonly of: string | null;
}

/** What `mvm net why -o json` prints, beside apiVersion and kind. Fields are added to it, never renamed or removed. */
export interface NetworkAnswer {
  readonly instance: string;
  readonly direction: 'outbound' | 'inbound';
  readonly destination: { readonly address: string; readonly protocol: string; readonly port: number | null };
  /** The instance at the destination; null when it is none. */
  readonly destination_instance: string | null;
  /** By the rules, and with nothing in the way. */
  readonly reachable: boolean;
  /** By the rules alone. */
  readonly permitted: boolean;
  /** One sentence. */
  readonly reason: string;
  /** What of which policy decides; null: no policy does. */
  readonly follows_from: AnswerField | null;
  /** What the packet meets, in order; the last decides. */
  readonly steps: readonly AnswerStep[];
  /** Limits that it must keep within. */
  readonly limits: readonly AnswerStep[];
  /** The drop counter on which such packets count, and where it stands; all tenants count on it. */
  readonly counter: { readonly name: string; readonly table: string; readonly packets: number | null } | null;
  /** Ports of the host that lead to the guest's; empty when outbound. */
  readonly host_ports: readonly number[];
  readonly obstacles: readonly Obstacle[];
  /** What could not be looked at, and how it can. */
  readonly not_seen: readonly string[];
  readonly next_steps: readonly string[];
}

export interface AnswerStep {
  /** `bridge mvm`, `inet mvm`: a rule of mvm's; `bridge`, `routing`: what the kernel does by itself. */
  readonly at: string;
  readonly chain: string | null;
  readonly rule: string | null;
  readonly why: string;
  readonly follows_from: AnswerField | null;
}

/** The port of a guest that the outside wants to reach. */
export interface InboundAsked {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

function originOf(
  part: PolicyPart | null,
  { instance, target, tenant }: WhyFacts,
  inbound: boolean,
): AnswerField | null {
  if (part === null) return null;
  // Inbound, the one that is asked for is the receiver; outbound, a receiver within the tenant is the neighbour.
  const guest = part.of === 'sender' || inbound || target === null ? instance : target;
  const source = policySource(part, policiesOf(tenant, tenant.pools), guest.pool_id);
  const of = { pool: `${guest.tenant_id}/${guest.pool_id}`, tenant: guest.tenant_id, default: null }[source];
  return { field: part.field, source, of };
}

function judge(
  facts: WhyFacts,
  inbound: InboundAsked | null,
): PathAnswer & { readonly hostPorts: readonly number[] } {
  const { instance, guests, host, uplinks, to, route } = facts;
  const port = guests.ports.find(({ ipv4 }) => ipv4 === instance.net?.guest_ip);
  if (port === undefined) {
    throw new CodedError({
      code: 'internal',
      reason: 'internal.unexpected',
      message: `${formatAddress(instance)} is not among its tenant's instances`,
    });
  }
  const site = { tenants: [guests], clusterCidr: host.cluster_cidr, uplinks };
  if (inbound !== null) {
    return traceInbound({ site, tenant: guests, port, protocol: inbound.protocol, guestPort: inbound.port });
  }
  return { ...traceOutbound({ site, tenant: guests, port, to, route }), hostPorts: [] };
}

function reasonOf(judged: PathAnswer, obstacles: readonly Obstacle[]): string {
  const [first] = obstacles;
  if (judged.passes)
    return first === undefined ? 'every rule lets it pass' : `the rules let it pass, but ${first.detail}`;
  const meaning = judged.counter === null ? undefined : DROP_MEANINGS[judged.counter.name]?.meaning;
  return meaning === undefined ? (judged.steps.at(-1)?.why ?? 'it is dropped') : `the packet ${meaning}`;
}

/** The whole answer. Pure. */
export function answerWhy(facts: WhyFacts, inbound: InboundAsked | null): NetworkAnswer {
  const { instance, target, to, drops } = facts;
  const judged = judge(facts, inbound);
  const origin = (part: PolicyPart | null) => originOf(part, facts, inbound !== null);
  const toStep = ({ at, chain, rule, why, follows }: PathStep): AnswerStep => ({
    at,
    chain,
    rule,
    why,
    follows_from: origin(follows),
  });
  const way =
    inbound !== null ? 'routed' : isNeighbour(facts) ? 'bridged' : routedBy(judged) ? 'routed' : 'host';
  const obstacles = findObstacles(facts, way);
  const follows = origin(judged.follows);
  const counter =
    judged.counter === null
      ? null
      : {
          ...judged.counter,
          packets: drops?.counters.find(({ name }) => name === judged.counter?.name)?.packets ?? null,
        };
  return {
    instance: formatAddress(instance),
    direction: inbound === null ? 'outbound' : 'inbound',
    destination:
      inbound === null
        ? { address: to.address, protocol: to.protocol, port: to.port ?? null }
        : { address: to.address, ...inbound },
    destination_instance: target === null ? null : formatAddress(target),
    reachable: judged.passes && obstacles.length === 0,
    permitted: judged.passes,
    reason: reasonOf(judged, obstacles),
    follows_from: follows,
    steps: judged.steps.map(toStep),
    limits: judged.limits.map(toStep),
    counter,
    host_ports: judged.hostPorts,
    obstacles,
    not_seen: notSeen(facts, way),
    next_steps: [
      ...(judged.passes ? [] : adviseOn({ facts, judged, follows, inbound })),
      ...obstacles.flatMap(({ next }) => next),
    ],
  };
}

function notSeen({ foreign }: WhyFacts, way: Way): string[] {
  if (foreign.blocks === null)
    return way === 'host' ? [] : [`rules of other software: ${foreign.problem} (sudo mvm net why …)`];
  return foreign.unread.length === 0
    ? []
    : [`chains of other software that a packet may meet: ${foreign.unread.join(', ')} (nft list ruleset)`];
}

function isNeighbour({ target, tenant }: WhyFacts): boolean {
  return target !== null && target.tenant_id === tenant.tenant_id;
}

/** Whether a packet left, or would leave, the host by an interface. */
function routedBy({ steps }: PathAnswer): boolean {
  return steps.some(({ chain }) => chain === 'forward');
}
