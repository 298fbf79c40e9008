import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { BASE_TABLES } from '../base-tables/base-tables.js';
import { DEFAULT_POLICY } from '../policy.js';
import { makeProfile } from '../profile.js';
import { DROP_MEANINGS } from './drop-meanings.js';

const counters = BASE_TABLES.flatMap((table) => table.counters);

it('says of every counter what it means and what to look at, and of no other', () => {
  expect(Object.keys(DROP_MEANINGS).sort()).toEqual([...counters].sort());
  for (const { meaning, advice } of Object.values(DROP_MEANINGS)) {
    expect(meaning.length).toBeGreaterThan(5);
    expect(advice.length).toBeGreaterThan(5);
  }
});

it('every counter is in the table of docs/networking.md', () => {
  const page = readFileSync(new URL('../../../../docs/networking.md', import.meta.url), 'utf8');
  for (const counter of counters) expect(page).toContain(`\`${counter}\``);
});

it('every counter is of one rule at least', () => {
  const profile = makeProfile({
    egress: 'none',
    allow: [],
    deny: [{ cidr: '203.0.113.0/24' }],
    limits: { ...DEFAULT_POLICY.limits, bandwidth_kbit: 1000, packets_per_second: 10 },
  });
  const chains = [...BASE_TABLES.flatMap((table) => table.chains), ...profile.chains];
  const rules = chains.flatMap((chain) => chain.rules.map(({ text }) => text));
  for (const counter of counters) {
    expect(rules.some((text) => text.includes(`counter name ${counter} `))).toBe(true);
  }
});
