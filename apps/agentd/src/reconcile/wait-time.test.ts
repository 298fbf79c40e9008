import type { Problem } from '@mvm/agentd-api';
import { expect, it } from 'vitest';
import { nextWait, type PassResult } from './wait-time.js';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const pacing = { intervalMs: 10_000, reconnectMs: 250, reconnectCapMs: 10_000, maxFollowUps: 20 };
const quiet: PassResult = {
  failedToObserve: false,
  failuresInRow: 0,
  actions: 0,
  activeInRow: 0,
  problems: [],
};

function problem(untilMs: number | null): Problem {
  const until = untilMs === null ? null : new Date(untilMs).toISOString();
  return {
    kind: 'backoff',
    reason: 'x',
    message: '',
    tenant_id: 'a',
    pool_id: null,
    instance_id: null,
    until,
  };
}

it.each<[string, Partial<PassResult>, number, string]>([
  ['nothing happened', {}, 10_000, 'interval'],
  ['something was done', { actions: 3, activeInRow: 1 }, 0, 'follow_up'],
  ['something is done again and again', { actions: 1, activeInRow: 21 }, 10_000, 'interval'],
  ['hostd was lost', { failedToObserve: true, failuresInRow: 1 }, 250, 'retry'],
  ['hostd stays lost', { failedToObserve: true, failuresInRow: 4 }, 2000, 'retry'],
  ['hostd is lost for long', { failedToObserve: true, failuresInRow: 99 }, 10_000, 'retry'],
  [
    'an attempt is due sooner',
    { problems: [problem(null), problem(NOW + 3000), problem(NOW + 4000)] },
    3000,
    'retry',
  ],
  ['an attempt is due now', { problems: [problem(NOW - 5)] }, 50, 'retry'],
  ['an attempt is due later', { problems: [problem(NOW + 30_000)] }, 10_000, 'interval'],
])('when %s', (_, fields, ms, trigger) => {
  expect(nextWait({ ...quiet, ...fields }, pacing, NOW)).toEqual({ ms, trigger });
});
