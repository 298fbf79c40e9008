import { cidrContains } from '@mvm/protocol/names';
import type { Condition, ForeignChain, ForeignPacket, ForeignTable, ForeignVerdict } from './rules.js';

/** Chains within chains; the kernel allows 16. */
const MAX_DEPTH = 16;

/** Whether an interface name fits a pattern that may end in `*`. */
function fits(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

// What is not understood matches nothing: neither an accept nor a drop is taken for granted.
function holds(condition: Condition, packet: ForeignPacket): boolean {
  switch (condition.kind) {
    case 'iif':
    case 'oif':
      return condition.names.some((pattern) => fits(packet[condition.kind], pattern)) !== condition.negated;
    case 'src':
    case 'dst':
      return (
        condition.ranges.some((range) => cidrContains(range, packet[condition.kind])) !== condition.negated
      );
    case 'state':
    case 'protocol':
      return condition.values.includes(packet[condition.kind]) !== condition.negated;
    case 'unknown':
      return false;
  }
}

/** The verdict of a chain without its policy; null when its rules decide nothing. */
function walk(
  table: ForeignTable,
  chain: ForeignChain,
  packet: ForeignPacket,
  depth: number,
): ForeignVerdict | null {
  for (const { conditions, verdict } of chain.rules) {
    if (!conditions.every((condition) => holds(condition, packet))) continue;
    switch (verdict.kind) {
      case 'accept':
      case 'drop':
        return { verdict: verdict.kind, by: 'rule', chain: chain.name };
      case 'return':
        return null;
      case 'jump':
      case 'goto': {
        const target = table.chains.find(({ name }) => name === verdict.chain);
        const decided =
          target === undefined || depth >= MAX_DEPTH ? null : walk(table, target, packet, depth + 1);
        if (decided !== null) return decided;
        if (verdict.kind === 'goto') return null;
        break;
      }
      case 'none':
        break;
    }
  }
  return null;
}

/** What a base chain does with a packet, as far as its rules can be read. Pure. */
export function evaluateChain(
  table: ForeignTable,
  base: ForeignChain,
  packet: ForeignPacket,
): ForeignVerdict {
  return walk(table, base, packet, 0) ?? { verdict: base.policy ?? 'accept', by: 'policy', chain: base.name };
}
