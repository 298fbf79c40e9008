import { isCodedError } from '@mvm/protocol';
import { parseIpv4Cidr } from '@mvm/protocol/names';
import type { Condition, ForeignChain, ForeignRule, ForeignTable, RuleVerdict } from './rules.js';

const UNKNOWN: Condition = { kind: 'unknown' };
const VERDICTS: Readonly<Record<string, RuleVerdict>> = {
  ACCEPT: { kind: 'accept' },
  DROP: { kind: 'drop' },
  REJECT: { kind: 'drop' },
  RETURN: { kind: 'return' },
};
/** Targets that go on to the next rule. */
const PASSING = new Set(['LOG', 'NFLOG', 'MARK', 'CONNMARK', 'TCPMSS', 'CT', 'TRACE', 'CHECKSUM', 'SET']);

function addressCondition(kind: 'src' | 'dst', text: string, negated: boolean): Condition {
  try {
    return { kind, ranges: [parseIpv4Cidr(text.includes('/') ? text : `${text}/32`)], negated };
  } catch (error) {
    if (!isCodedError(error)) throw error;
    return UNKNOWN;
  }
}

function condition(option: string, value: string, negated: boolean): Condition {
  switch (option) {
    case '-i':
    case '-o':
      return { kind: option === '-i' ? 'iif' : 'oif', names: [value.replace(/\+$/, '*')], negated };
    case '-s':
    case '-d':
      return addressCondition(option === '-s' ? 'src' : 'dst', value, negated);
    case '-p':
      return { kind: 'protocol', values: [value], negated };
    case '--ctstate':
    case '--state':
      return { kind: 'state', values: value.toLowerCase().split(','), negated };
    default:
      return UNKNOWN;
  }
}

/** Options of a rule that say nothing about the packet: the names of matches that are understood, and comments. */
function isSilent(option: string, value: string): boolean {
  if (option === '--comment') return true;
  return option === '-m' && ['conntrack', 'state', 'comment', 'tcp', 'udp'].includes(value);
}

function verdictOf(target: string): RuleVerdict {
  if (PASSING.has(target)) return { kind: 'none' };
  return VERDICTS[target] ?? { kind: 'jump', chain: target };
}

function parseRule(words: readonly string[]): ForeignRule {
  const conditions: Condition[] = [];
  let verdict: RuleVerdict = { kind: 'none' };
  for (let i = 0; i < words.length; ) {
    const negated = words[i] === '!';
    const option = words[negated ? i + 1 : i] ?? '';
    const value = words[negated ? i + 2 : i + 1] ?? '';
    i += negated ? 3 : 2;
    if (option === '-j') {
      verdict = verdictOf(value);
      // What follows are the target's own options.
      break;
    }
    if (option === '-g') {
      verdict = { kind: 'goto', chain: value };
      break;
    }
    if (!isSilent(option, value)) conditions.push(condition(option, value, negated));
  }
  return { conditions, verdict };
}

/** Words of a line; quoted ones (comments) may hold blanks. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

const HOOKS: Readonly<Record<string, string>> = {
  PREROUTING: 'prerouting',
  INPUT: 'input',
  FORWARD: 'forward',
  OUTPUT: 'output',
  POSTROUTING: 'postrouting',
};

/**
 * A table in what `iptables-save -t <name>` says; null when it says none. What is not understood of a rule
 * becomes a condition that never holds. Source: iptables(8), iptables-extensions(8).
 */
export function parseIptablesSave(
  text: string,
  tool: 'iptables' | 'iptables-legacy',
  name = 'filter',
): ForeignTable | null {
  const lines = text.split('\n').map((line) => line.trim());
  if (!lines.includes(`*${name}`)) return null;
  const rules = new Map<string, ForeignRule[]>();
  const chains: ForeignChain[] = [];
  for (const line of lines) {
    const declared = /^:(\S+) (ACCEPT|DROP|-)/.exec(line);
    if (declared !== null) {
      const [, chainName = '', policy] = declared;
      const own: ForeignRule[] = [];
      rules.set(chainName, own);
      chains.push({
        name: chainName,
        hook: policy === '-' ? null : (HOOKS[chainName] ?? null),
        policy: policy === '-' ? null : policy === 'DROP' ? 'drop' : 'accept',
        rules: own,
      });
    } else if (line.startsWith('-A ')) {
      const [, chain = '', ...words] = wordsOf(line);
      rules.get(chain)?.push(parseRule(words));
    }
  }
  return { tool, family: 'ip', name, chains };
}
