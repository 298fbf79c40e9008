import type { InstanceView } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { withoutFutureTimes } from './future-times.js';

const at = (ms: number): string => new Date(ms).toISOString();
const NOW = Date.parse('2026-11-29T12:00:00Z');
const view = (sinceMs: number, startedMs: number): InstanceView =>
  ({ status: 'running', status_since: at(sinceMs), last_started_at: at(startedMs) }) as InstanceView;

test('the clock set back: what seems to come counts as long ago, the rest is left as it is', () => {
  const month = 720 * 3_600_000;
  expect(withoutFutureTimes(view(NOW + month, NOW - 1_000), NOW)).toMatchObject({
    status_since: at(0),
    last_started_at: at(NOW - 1_000),
  });
  expect(withoutFutureTimes(view(NOW, NOW + month), NOW)).toMatchObject({ last_started_at: at(0) });
  const usual = view(NOW + 30_000, NOW - month);
  expect(withoutFutureTimes(usual, NOW)).toBe(usual);
});
