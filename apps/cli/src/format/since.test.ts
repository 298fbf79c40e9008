import { expect, it } from 'vitest';
import { parseSince, sinceTime } from './since.js';

const NOW = Date.parse('2026-11-25T08:00:00.000Z');

it.each([
  ['15m', '2026-11-25T07:45:00.000Z'],
  ['7d', '2026-11-18T08:00:00.000Z'],
  ['2026-11-25T01:00:00+01:00', '2026-11-25T00:00:00.000Z'],
  ['2026-11-24', '2026-11-24T00:00:00.000Z'],
])('%s is %s', (text, time) => expect(sinceTime(parseSince(text), NOW)).toBe(time));

it.each(['', 'yesterday', '5', '5w', '-1h', '2026-13-01', '9999999s'])('refuses %j', (text) =>
  expect(() => parseSince(text)).toThrow('how long ago'),
);
