import { expect, it } from 'vitest';
import { BASE_TABLES } from '../../base-tables/base-tables.js';
import { completePolicy } from '../../policy.js';
import { profileFor } from '../../profile.js';
import { parseRule } from './parse-rule.js';

const everything = profileFor(
  completePolicy({
    egress: 'internet',
    deny: [{ cidr: '10.0.0.0/8' }, { cidr: '10.0.0.0/8', protocol: 'icmp' }],
    allow: [
      { cidr: '10.0.0.0/8', protocol: 'tcp', first_port: 1, last_port: 9 },
      { cidr: '10.0.0.0/8', protocol: 'udp' },
    ],
    limits: { connections: 1, packets_per_second: 1, bandwidth_kbit: 64 },
  }),
);

const rules = [...BASE_TABLES.flatMap(({ chains }) => chains), ...(everything?.chains ?? [])].flatMap(
  (chain) => chain.rules.map(({ text }) => text),
);

it.each([...new Set(rules)])('understands %s, and ends with what becomes of the packet', (text) => {
  const statements = parseRule(text);
  expect(
    statements.slice(0, -1).filter(({ kind }) => !['match', 'limit', 'counter', 'tracking'].includes(kind)),
  ).toEqual([]);
  expect(['accept', 'drop', 'masquerade', 'goto', 'vmap', 'dnat', 'tracking']).toContain(
    statements.at(-1)?.kind,
  );
});

it('reads what a rule asks', () => {
  expect(parseRule('iifname . ip daddr != @gw counter name c_hostin drop')).toEqual([
    { kind: 'match', fields: ['iifname', 'ip daddr'], negated: true, in: { set: 'gw' } },
    { kind: 'counter', name: 'c_hostin' },
    { kind: 'drop' },
  ]);
  expect(parseRule('ip daddr 10.0.0.0/8 tcp dport 1-9 goto egress_limits')).toEqual([
    { kind: 'match', fields: ['ip daddr'], negated: false, in: { values: ['10.0.0.0/8'] } },
    { kind: 'match', fields: ['tcp dport'], negated: false, in: { values: ['1-9'] } },
    { kind: 'goto', chain: 'egress_limits' },
  ]);
});

it.each([
  'meta mark 7 drop',
  'ip daddr',
  'queue',
  'tcp dport < 7 drop',
  'iifnames x drop',
  'ip daddr { 1.1.1.1 } drop',
])('refuses %s, rather than to pass it over', (text) => {
  expect(() => parseRule(text)).toThrow(/not known here/);
});
