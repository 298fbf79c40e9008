import { cidrContains, parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';
import type { BaseChain, BaseRule, PolicyPart } from '../../base-tables/base-table.js';
import { type NetElement, type SetName, setShape } from '../../sets.js';
import { parseRule, type RuleField, type RuleMatch, type Statement } from './parse-rule.js';

/** A packet as far as rules of ours ask about it; a field that it does not have is absent. Flags are lists. */
export type PacketFields = { readonly [F in RuleField]?: string | readonly string[] };

/** Rules and elements of both tables as they are to be. */
export interface Rules {
  readonly chains: ReadonlyMap<string, BaseChain>;
  readonly elements: ReadonlyMap<string, readonly NetElement[]>;
}

/** One rule that a packet met, and matched. */
export interface MetRule {
  readonly chain: string;
  readonly rule: BaseRule;
}

/** What a chain, and those that it leads to, say to a packet. */
export interface ChainVerdict {
  readonly verdict: 'accept' | 'drop';
  /** Rules that matched, in order; the last of them decides. None: nothing of ours concerned it. */
  readonly met: readonly MetRule[];
  /** Limits that it is under, and is taken to be within. */
  readonly limits: readonly MetRule[];
  /** The drop counter that counts it. */
  readonly counter: string | null;
  /** Where it is led instead, as `<address> . <port>`. */
  readonly dnat: string | null;
  readonly follows: PolicyPart | null;
}

function valuesOf(packet: PacketFields, field: string): readonly string[] {
  const value = packet[field as RuleField];
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

function isAmong(value: string, expected: string): boolean {
  if (expected.includes('/')) return cidrContains(parseIpv4Cidr(expected), parseIpv4(value));
  const range = /^(\d+)-(\d+)$/.exec(expected);
  if (range !== null) return Number(value) >= Number(range[1]) && Number(value) <= Number(range[2]);
  return value === expected;
}

function lookUp(
  { elements }: Rules,
  set: string,
  fields: readonly string[],
  packet: PacketFields,
): NetElement | null {
  const key = fields.map((field) => valuesOf(packet, field)[0]);
  const fits = setShape(set as SetName).interval
    ? isAmong
    : (value: string, expected: string) => value === expected;
  const found = elements
    .get(set)
    ?.find((element) => element.key.every((expected, i) => key[i] !== undefined && fits(key[i], expected)));
  return found ?? null;
}

function matches(rules: Rules, match: RuleMatch, packet: PacketFields): boolean {
  const values = match.fields.map((field) => valuesOf(packet, field));
  // As in nft: who asks for a protocol's field asks for the protocol too, whatever the answer should be.
  if (values.some((each) => each.length === 0)) return false;
  const among = match.in;
  const found =
    'set' in among
      ? lookUp(rules, among.set, match.fields, packet) !== null
      : among.values.some((expected) => values[0]?.some((value) => isAmong(value, expected)));
  return found !== match.negated;
}

interface Walk {
  readonly met: MetRule[];
  readonly limits: MetRule[];
  counter: string | null;
  dnat: string | null;
}

const parsed = new Map<string, readonly Statement[]>();

function statementsOf({ text }: BaseRule): readonly Statement[] {
  const statements = parsed.get(text) ?? parseRule(text);
  if (parsed.size < 10_000) parsed.set(text, statements);
  return statements;
}

type Outcome = 'accept' | 'drop' | 'next' | { readonly to: string; readonly comesBack: boolean };

function applyRule(rules: Rules, chain: string, rule: BaseRule, packet: PacketFields, walk: Walk): Outcome {
  let counter: string | null = null;
  for (const statement of statementsOf(rule)) {
    switch (statement.kind) {
      case 'match':
        if (!matches(rules, statement, packet)) return 'next';
        break;
      case 'limit':
        walk.limits.push({ chain, rule });
        return 'next';
      case 'counter':
        counter = statement.name;
        break;
      case 'tracking':
        break;
      case 'vmap': {
        const found = lookUp(rules, statement.map, statement.fields, packet);
        if (found?.value === undefined) return 'next';
        walk.met.push({ chain, rule });
        return { to: found.value, comesBack: setShape(found.set).map === 'jump' };
      }
      case 'dnat': {
        const found = lookUp(rules, statement.map, statement.fields, packet);
        if (found?.value === undefined) return 'next';
        walk.met.push({ chain, rule });
        walk.dnat = found.value;
        return 'accept';
      }
      case 'goto':
        walk.met.push({ chain, rule });
        return { to: statement.chain, comesBack: false };
      case 'accept':
      case 'masquerade':
        walk.met.push({ chain, rule });
        return 'accept';
      case 'drop':
        walk.met.push({ chain, rule });
        walk.counter = counter;
        return 'drop';
    }
  }
  return 'next';
}

function walkInto(rules: Rules, name: string, packet: PacketFields, walk: Walk): 'accept' | 'drop' | 'next' {
  const chain = rules.chains.get(name);
  if (chain === undefined) throw new Error(`a rule leads to ${name}, which is no chain of ours`);
  for (const rule of chain.rules) {
    const outcome = applyRule(rules, name, rule, packet, walk);
    if (outcome === 'next') continue;
    if (typeof outcome === 'string') return outcome;
    const decided = walkInto(rules, outcome.to, packet, walk);
    if (decided !== 'next' || !outcome.comesBack) return decided;
  }
  return 'next';
}

/** What a base chain says to a packet: the rules' own texts are read, so this cannot say other than they. Pure. */
export function walkChain(rules: Rules, name: string, packet: PacketFields): ChainVerdict {
  const walk: Walk = { met: [], limits: [], counter: null, dnat: null };
  const decided = walkInto(rules, name, packet, walk);
  const follows = walk.met.findLast(({ rule }) => rule.follows !== undefined)?.rule.follows ?? null;
  return { verdict: decided === 'drop' ? 'drop' : 'accept', ...walk, follows };
}
