/** What a rule of ours asks of a packet: fields whose concatenation is (or is not) in a set, or among values. */
export interface RuleMatch {
  readonly kind: 'match';
  readonly fields: readonly string[];
  readonly negated: boolean;
  /** Name of a set, or the values themselves: words, numbers, `<first>-<last>`, CIDR. */
  readonly in: { readonly set: string } | { readonly values: readonly string[] };
}

/** One statement of a rule. A `limit` matches what is above it. */
export type Statement =
  | RuleMatch
  | { readonly kind: 'limit'; readonly set: string }
  | { readonly kind: 'counter'; readonly name: string }
  | { readonly kind: 'accept' | 'drop' | 'masquerade' }
  /** Changes how a packet is tracked, and decides nothing. */
  | { readonly kind: 'tracking' }
  | { readonly kind: 'goto'; readonly chain: string }
  | { readonly kind: 'vmap' | 'dnat'; readonly fields: readonly string[]; readonly map: string };

/** Every field that rules of ours ask about, longer ones before those that they begin with. */
const FIELDS = [
  'fib saddr . iif oif',
  'fib daddr type',
  'arp operation',
  'arp saddr ether',
  'arp saddr ip',
  'arp htype',
  'arp ptype',
  'arp hlen',
  'arp plen',
  'ct direction',
  'ct original ip saddr',
  'ct reply ip saddr',
  'ct state',
  'ct status',
  'ether daddr',
  'ether saddr',
  'ether type',
  'icmp type',
  'iifname',
  'ip daddr',
  'ip saddr',
  'meta l4proto',
  'meta nfproto',
  'meta skuid',
  'oifname',
  'tcp dport',
  'th dport',
  'th sport',
  'udp dport',
  'udp sport',
] as const;

/** A field of a packet that rules of ours ask about. */
export type RuleField = (typeof FIELDS)[number];

const FIELD = new RegExp(`^(?:${FIELDS.join('|').replaceAll('.', '\\.')})(?= |$)`);

/** Takes one concatenation of fields from the beginning of a text. */
function takeFields(text: string): { fields: string[]; rest: string } {
  const fields: string[] = [];
  for (let rest = text; ; rest = rest.slice(3)) {
    const field = FIELD.exec(rest)?.[0];
    if (field === undefined) throw new Error(`a rule asks what is not known here: ${text}`);
    fields.push(field);
    rest = rest.slice(field.length);
    if (!rest.startsWith(' . ')) return { fields, rest: rest.trimStart() };
  }
}

const SIMPLE: readonly [RegExp, (found: RegExpExecArray) => Statement][] = [
  [/^counter name (\w+)/, ([, name = '']) => ({ kind: 'counter', name })],
  [/^(?:add|update) @(\w+) \{[^}]*\}/, ([, set = '']) => ({ kind: 'limit', set })],
  [/^goto (\w+)/, ([, chain = '']) => ({ kind: 'goto', chain })],
  [/^(?:notrack|ct timeout set "\w+")/, () => ({ kind: 'tracking' })],
  [/^masquerade fully-random/, () => ({ kind: 'masquerade' })],
  [/^(accept|drop|reject)/, ([, verdict]) => ({ kind: verdict === 'accept' ? 'accept' : 'drop' })],
];

function takeStatement(text: string): { statement: Statement; rest: string } {
  for (const [pattern, make] of SIMPLE) {
    const found = pattern.exec(text);
    if (found !== null) return { statement: make(found), rest: text.slice(found[0].length) };
  }
  const target = /^dnat ip to /.exec(text)?.[0] ?? '';
  const { fields, rest } = takeFields(text.slice(target.length));
  const map = /^(vmap|map) @(\w+)/.exec(rest);
  if (map !== null) {
    const statement = { kind: target === '' ? 'vmap' : 'dnat', fields, map: map[2] ?? '' } as const;
    return { statement, rest: rest.slice(map[0].length) };
  }
  const masked = /^& ([0-9a-f:]{17}) (==|!=) ([0-9a-f:]{17})/.exec(rest);
  if (masked !== null) {
    const [whole, mask = '', operator, value = ''] = masked;
    const statement: RuleMatch = {
      kind: 'match',
      fields,
      negated: operator === '!=',
      in: { values: [`${value}/${mask}`] },
    };
    return { statement, rest: rest.slice(whole.length) };
  }
  const asked = /^(!= )?(?:& (\w+) == \2|@(\w+)|([\w./,-]+))/.exec(rest);
  if (asked === null) throw new Error(`a rule asks in a way that is not known here: ${text}`);
  const [whole, not, flag, set, words = ''] = asked;
  const among = set === undefined ? { values: flag === undefined ? words.split(',') : [flag] } : { set };
  const statement: RuleMatch = { kind: 'match', fields, negated: not !== undefined, in: among };
  return { statement, rest: rest.slice(whole.length) };
}

/**
 * The statements of a rule of our tables or of a policy's chains, in order. Throws an `Error` for anything that such a rule
 * does not say by now: a rule that is not understood must not be passed over.
 */
export function parseRule(text: string): Statement[] {
  const statements: Statement[] = [];
  for (let rest = text; rest !== ''; ) {
    const taken = takeStatement(rest);
    statements.push(taken.statement);
    rest = taken.rest.trimStart();
  }
  return statements;
}
