import { isCodedError } from '@mvm/protocol';
import { parseIpv4Cidr } from '@mvm/protocol/names';
import { asArray, asRecord, asText, type JsonRecord } from '../../observe/json.js';
import type { Condition, ForeignChain, ForeignRule, ForeignTable, RuleVerdict } from './rules.js';

const UNKNOWN: Condition = { kind: 'unknown' };

/** The texts on a match's right side: one, a list or an anonymous set; null when there is something else among them. */
function texts(right: unknown): string[] | null {
  const items = Array.isArray(right) ? right : asArray(asRecord(right).set);
  const values = typeof right === 'string' ? [right] : items;
  if (values.length === 0) return null;
  return values.every((value) => typeof value === 'string') ? (values as string[]) : null;
}

function addresses(kind: 'src' | 'dst', right: unknown, negated: boolean): Condition {
  const set = asArray(asRecord(right).set);
  const values = set.length > 0 ? set : [right];
  try {
    const ranges = values.map((value) => {
      const prefix = asRecord(asRecord(value).prefix);
      return parseIpv4Cidr(
        typeof value === 'string' ? `${value}/32` : `${asText(prefix.addr)}/${String(prefix.len)}`,
      );
    });
    return { kind, ranges, negated };
  } catch (error) {
    if (!isCodedError(error)) throw error;
    return UNKNOWN;
  }
}

function matchCondition(match: JsonRecord): Condition {
  const { op, right } = match;
  if (op !== '==' && op !== '!=' && op !== 'in') return UNKNOWN;
  const negated = op === '!=';
  const left = asRecord(match.left);
  const meta = asText(asRecord(left.meta).key);
  const values = texts(right);
  if ((meta === 'iifname' || meta === 'iif') && values !== null)
    return { kind: 'iif', names: values, negated };
  if ((meta === 'oifname' || meta === 'oif') && values !== null)
    return { kind: 'oif', names: values, negated };
  if (meta === 'l4proto' && values !== null) return { kind: 'protocol', values, negated };
  if (meta === 'nfproto' && values !== null) {
    // Every packet that is asked about is IPv4: a rule for it asks nothing, one for others never holds.
    return values.includes('ipv4') === negated ? UNKNOWN : { kind: 'protocol', values: [], negated: true };
  }
  if (asText(asRecord(left.ct).key) === 'state' && values !== null) return { kind: 'state', values, negated };
  const { protocol, field } = asRecord(left.payload);
  if (protocol === 'ip' && (field === 'saddr' || field === 'daddr')) {
    return addresses(field === 'saddr' ? 'src' : 'dst', right, negated);
  }
  return UNKNOWN;
}

/** Statements that neither ask nor decide. */
const SILENT = new Set(['counter', 'log', 'mangle', 'ct helper', 'ct timeout', 'limit', 'quota']);

function parseRule(rule: JsonRecord): ForeignRule {
  const conditions: Condition[] = [];
  let verdict: RuleVerdict = { kind: 'none' };
  for (const statement of asArray(rule.expr).map(asRecord)) {
    const [name = ''] = Object.keys(statement);
    if (name === 'match') conditions.push(matchCondition(asRecord(statement.match)));
    else if (name === 'accept' || name === 'return') verdict = { kind: name };
    else if (name === 'drop' || name === 'reject') verdict = { kind: 'drop' };
    else if (name === 'jump' || name === 'goto') {
      verdict = { kind: name, chain: asText(asRecord(statement[name]).target) };
    } else if (name === 'limit' || !SILENT.has(name)) conditions.push(UNKNOWN);
  }
  return { conditions, verdict };
}

/**
 * A table in what `nft -j list table` says. What is not understood of a rule becomes a condition that never holds.
 * Source: libnftables-json(5).
 */
export function parseNftTable(family: string, name: string, stdout: string): ForeignTable {
  const objects = asArray(asRecord(JSON.parse(stdout)).nftables).map(asRecord);
  const rules = objects.map(({ rule }) => asRecord(rule)).filter(({ chain }) => chain !== undefined);
  const chains = objects
    .map(({ chain }) => asRecord(chain))
    .filter((chain) => chain.name !== undefined)
    .map((chain): ForeignChain => {
      const own = asText(chain.name);
      const hooked = typeof chain.hook === 'string';
      return {
        name: own,
        hook: hooked ? asText(chain.hook) : null,
        policy: hooked ? (chain.policy === 'drop' ? 'drop' : 'accept') : null,
        rules: rules.filter((rule) => rule.chain === own).map(parseRule),
      };
    });
  return { tool: 'nft', family, name, chains };
}
