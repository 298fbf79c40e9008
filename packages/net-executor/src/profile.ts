import { createHash } from 'node:crypto';
import type { NetworkException } from '@mvm/protocol';
import type { BaseChain, BaseRule, PolicyPart } from './base-tables/base-table.js';
import { ANSWERS } from './base-tables/inet-table.js';
import { DEFAULT_LIMITS, TENANT_LIMITS } from './base-tables/limits.js';
import { cidrText, numberText, portText } from './grammar.js';
import type { CompletePolicy } from './policy.js';
import { ruleComment } from './rule-comment.js';

/** What a profile's rules follow from; plain data. */
export type ProfileSpec = Omit<CompletePolicy, 'isolate_instances'>;

/**
 * The chains and sets of one policy, shared by every guest that has it. They are reached through `guest_out` and
 * `guest_in`, so a packet's way does not get longer with the number of profiles.
 */
export interface Profile {
  /** 16 hex digits: a hash of its rules. The same policy has the same id, whoever has it. */
  readonly id: string;
  readonly spec: ProfileSpec;
  /** Those that are gone to come first. */
  readonly chains: readonly BaseChain[];
  /** Name → definition of the sets that packets fill. */
  readonly sets: Readonly<Record<string, string>>;
  /** The chain for what a guest sends, and the one for what it gets; null when that is not limited. */
  readonly out: string;
  readonly in: string | null;
}

/** A profile as the kernel has it. */
export interface ObservedProfile {
  readonly id: string;
  /** Name → comments of its rules, in order. */
  readonly chains: Readonly<Record<string, readonly string[]>>;
  readonly sets: readonly string[];
  /** What it was made from; null when not known, as of what another process made. */
  readonly spec: ProfileSpec | null;
}

const NAME =
  /^p_([0-9a-f]{16})_(?:out|in|new|rate|conns|tenant_rate|tenant_conns|out_bytes|out_packets|in_bytes|in_packets)$/;

/** The profile that a chain or set of ours belongs to by its name; null for any other name. */
export function profileIdOf(name: string): string | null {
  return NAME.exec(name)?.[1] ?? null;
}

/** One bucket of this many bytes beside a second's worth: a packet of the largest size always fits. */
const BYTES_BURST = 65_536;
const LIMIT_SET = 'type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;';
const COUNT_SET = 'type ipv4_addr; size 65535; flags dynamic;';

interface Part {
  readonly rules: readonly BaseRule[];
  readonly sets: Readonly<Record<string, string>>;
}

/** Rules that drop what is above the limits of one direction. `field`: the guest's address in the packet. */
function volumePart(prefix: string, spec: ProfileSpec, field: 'saddr' | 'daddr'): Part {
  const { packets_per_second: packets, bandwidth_kbit: kbit } = spec.limits;
  const of: PolicyPart['of'] = field === 'saddr' ? 'sender' : 'receiver';
  const rules: BaseRule[] = [];
  const sets: Record<string, string> = {};
  if (kbit > 0) {
    sets[`${prefix}_bytes`] = LIMIT_SET;
    const rate = `${numberText(kbit * 125)} bytes/second burst ${BYTES_BURST} bytes`;
    const text = `update @${prefix}_bytes { ip ${field} limit rate over ${rate} } counter name c_bandwidth drop`;
    rules.push({ text, why: `more than ${kbit} kbit/s`, follows: { field: 'limits.bandwidth_kbit', of } });
  }
  if (packets > 0) {
    sets[`${prefix}_packets`] = LIMIT_SET;
    const rate = `${numberText(packets)}/second burst ${numberText(packets)} packets`;
    const text = `update @${prefix}_packets { ip ${field} limit rate over ${rate} } counter name c_packets drop`;
    const follows = { field: 'limits.packets_per_second', of };
    rules.push({ text, why: `more than ${packets} packets/s`, follows });
  }
  return { rules, sets };
}

function exceptionMatch({ cidr, protocol, first_port, last_port = first_port }: NetworkException): string {
  const destination = `ip daddr ${cidrText(cidr)}`;
  if (protocol === undefined) return destination;
  if (protocol === 'icmp') return `${destination} meta l4proto icmp`;
  const transport = protocol === 'tcp' ? 'tcp' : 'udp';
  if (first_port === undefined || last_port === undefined) return `${destination} meta l4proto ${transport}`;
  const first = portText(String(first_port));
  const last = portText(String(last_port));
  return `${destination} ${transport} dport ${first === last ? first : `${first}-${last}`}`;
}

/** The tenant's limits, and as much more as one guest's own limits go beyond them. */
function tenantPart(prefix: string, { limits }: ProfileSpec): Part {
  const { new_connections_per_second: rate, new_connections_burst: burst, connections } = limits;
  const { newPerSecond, newBurst, connections: usual } = TENANT_LIMITS;
  if (rate <= newPerSecond && burst <= newBurst && connections <= usual) {
    return { rules: [{ text: 'goto tenant_limits', why: "within the guest's limits" }], sets: {} };
  }
  const perSecond = `${numberText(Math.max(rate, newPerSecond))}/second burst ${numberText(Math.max(burst, newBurst))} packets`;
  return {
    sets: {
      [`${prefix}_tenant_rate`]: 'type ifname; size 65535; flags dynamic,timeout; timeout 1m;',
      [`${prefix}_tenant_conns`]: 'type ifname; size 65535; flags dynamic;',
    },
    rules: [
      {
        text: `update @${prefix}_tenant_rate { iifname limit rate over ${perSecond} } counter name c_tenant drop`,
        why: 'too many new connections of the tenant per second',
      },
      {
        text: `add @${prefix}_tenant_conns { iifname ct count over ${numberText(Math.max(connections, usual))} } counter name c_tenant drop`,
        why: 'too many connections of the tenant at a time',
      },
      { text: 'goto tracked', why: "within the tenant's limits" },
    ],
  };
}

function newPart(prefix: string, spec: ProfileSpec): Part | null {
  const tenant = tenantPart(prefix, spec);
  const { limits } = spec;
  const { new_connections_per_second: rate, new_connections_burst: burst, connections } = limits;
  const { newPerSecond, newBurst, connections: usual } = DEFAULT_LIMITS;
  if (rate === newPerSecond && burst === newBurst && connections === usual) return null;
  return {
    sets: { [`${prefix}_rate`]: LIMIT_SET, [`${prefix}_conns`]: COUNT_SET, ...tenant.sets },
    rules: [
      { text: 'ct status & confirmed == confirmed accept', why: 'known connection' },
      {
        text: `update @${prefix}_rate { ip saddr limit rate over ${numberText(rate)}/second burst ${numberText(burst)} packets } counter name c_rate drop`,
        why: `more than ${rate} new connections per second`,
        follows: { field: 'limits.new_connections_per_second', of: 'sender' },
      },
      {
        text: `add @${prefix}_conns { ip saddr ct count over ${numberText(connections)} } counter name c_conns drop`,
        why: `more than ${connections} connections at a time`,
        follows: { field: 'limits.connections', of: 'sender' },
      },
      ...tenant.rules,
    ],
  };
}

function outRules(limits: string, { egress, allow, deny }: ProfileSpec): BaseRule[] {
  const by = (field: string) => ({ field, of: 'sender' }) as const;
  const verdict: Record<ProfileSpec['egress'], readonly BaseRule[]> = {
    none: [{ text: 'counter name c_none drop', why: 'no egress', follows: by('egress') }],
    internet: [
      {
        text: 'ip daddr @private4 counter name c_private drop',
        why: 'private or link-local destination',
        follows: by('egress'),
      },
      { text: `goto ${limits}`, why: 'a public destination', follows: by('egress') },
    ],
    open: [{ text: `goto ${limits}`, why: 'any destination', follows: by('egress') }],
  };
  return [
    ANSWERS,
    ...deny.map((exception, i) => ({
      text: `${exceptionMatch(exception)} counter name c_denied drop`,
      why: `denied, entry ${i + 1}`,
      follows: by(`deny[${i}]`),
    })),
    ...allow.map((exception, i) => ({
      text: `${exceptionMatch(exception)} goto ${limits}`,
      why: `allowed, entry ${i + 1}`,
      follows: by(`allow[${i}]`),
    })),
    ...verdict[egress],
  ];
}

function makeParts(id: string, spec: ProfileSpec): Pick<Profile, 'chains' | 'sets'> {
  const name = `p_${id}`;
  const limits = newPart(name, spec);
  const out = volumePart(`${name}_out`, spec, 'saddr');
  const back = volumePart(`${name}_in`, spec, 'daddr');
  const goOn = limits === null ? 'egress_limits' : `${name}_new`;
  return {
    sets: { ...limits?.sets, ...out.sets, ...back.sets },
    chains: [
      ...(limits === null ? [] : [{ name: `${name}_new`, rules: limits.rules }]),
      { name: `${name}_out`, rules: [...out.rules, ...outRules(goOn, spec)] },
      ...(back.rules.length === 0 ? [] : [{ name: `${name}_in`, rules: back.rules }]),
    ],
  };
}

/**
 * The profile of a policy. Throws `invalid_argument` for a field outside the grammar: this is the expression that renders
 * it, whatever was checked before.
 */
export function makeProfile(spec: ProfileSpec): Profile {
  const draft = makeParts('0'.repeat(16), spec);
  const id = createHash('sha256').update(JSON.stringify(draft)).digest('hex').slice(0, 16);
  const parts = makeParts(id, spec);
  const back = `p_${id}_in`;
  return {
    id,
    spec,
    ...parts,
    out: `p_${id}_out`,
    in: parts.chains.some(({ name }) => name === back) ? back : null,
  };
}

function isPlain({ allow, deny, limits }: CompletePolicy): boolean {
  const { newPerSecond, newBurst, connections } = DEFAULT_LIMITS;
  return (
    allow.length + deny.length === 0 &&
    limits.new_connections_per_second === newPerSecond &&
    limits.new_connections_burst === newBurst &&
    limits.connections === connections &&
    limits.packets_per_second + limits.bandwidth_kbit === 0
  );
}

const made = new WeakMap<CompletePolicy, Profile>();

/** The profile that a policy needs; null when the base tables' own chains are enough. The same object gives the same. */
export function profileFor(policy: CompletePolicy): Profile | null {
  if (isPlain(policy)) return null;
  const { isolate_instances: _elsewhere, ...spec } = policy;
  const profile = made.get(policy) ?? makeProfile(spec);
  made.set(policy, profile);
  return profile;
}

/** A profile as the kernel has it once it is made. */
export function toObservedProfile(profile: Profile): ObservedProfile {
  const comments = (chain: BaseChain) =>
    chain.rules.map((rule, i) => ruleComment({ family: 'inet' }, chain.name, i, rule));
  return {
    id: profile.id,
    chains: Object.fromEntries(profile.chains.map((chain) => [chain.name, comments(chain)])),
    sets: Object.keys(profile.sets),
    spec: profile.spec,
  };
}

/** A text that is equal for two profiles exactly when they have the same chains, rules and sets. */
export function profileSignature({ chains, sets }: Pick<ObservedProfile, 'chains' | 'sets'>): string {
  const byName = Object.entries(chains).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([byName, sets.toSorted()]);
}
