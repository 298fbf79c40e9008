import type { GuestExit, InstanceView, StopReason } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { failureKey } from './actions.js';
import { failuresAfterObserving } from './failures.js';
import { restartVerdict } from './restart.js';

const at = '2026-11-30T10:00:00.000Z';
const policy = { baseMs: 1000, capMs: 60_000, stableMs: 10_000 };

function stopped(stop: Partial<StopReason>): InstanceView {
  return {
    ...{ tenant_id: 'acme', pool_id: 'web', instance_id: 'i-1', status: 'stopped', status_since: at },
    ...{ role: 'worker', net: null, image: null, pid: null, created_at: at, operation: null },
    resources: { vcpus: 1, mem_mib: 64, data_disk_mib: 0 },
    ...{ last_started_at: at, last_stopped_at: at },
    stop_reason: {
      ...{ kind: 'exited', message: 'it ended', exit_code: 0, signal: null, console_tail: '', at },
      ...stop,
    },
  };
}

const ended = (guest: Partial<GuestExit>): InstanceView =>
  stopped({ guest: { reason: 'exited', exit_code: 0, signal: null, ...guest } });
const well = ended({});
const badly = ended({ exit_code: 3 });
const panicked = ended({ reason: 'panicked', exit_code: null });

it.each([
  ['always', 'an end as it should be', well, 'start'],
  ['always', 'a failure', badly, 'start'],
  ['on-failure', 'an end as it should be', well, 'completed'],
  ['on-failure', 'a failure', badly, 'start'],
  ['on-failure', 'too little memory', ended({ reason: 'oom_killed', exit_code: 137, signal: 9 }), 'start'],
  ['on-failure', 'a panic', panicked, 'start'],
  ['on-failure', 'a guest of which nothing is known that switched itself off', stopped({}), 'completed'],
  ['no', 'an end as it should be', well, 'completed'],
  ['no', 'a failure', badly, 'failed'],
  ['no', 'a health check that failed', ended({ reason: 'unhealthy' }), 'failed'],
  ['no', 'a VMM that was killed', stopped({ exit_code: null, signal: 'SIGKILL' }), 'start'],
  ['no', 'a VM that the host has lost', stopped({ kind: 'lost' }), 'start'],
  [
    'no',
    'a stop that was asked for',
    stopped({ kind: 'requested', guest: well.stop_reason?.guest }),
    'start',
  ],
] as const)('restart %s after %s', (restart, _what, view, kind) => {
  expect(restartVerdict(view, { restart: { policy: restart } }, {}).kind).toBe(kind);
});

it('leaves a panicked guest stopped where the pool says so, and only that', () => {
  expect(restartVerdict(panicked, { on_panic: 'stop' }, {})).toMatchObject({ reason: 'restart.panicked' });
  expect(restartVerdict(badly, { on_panic: 'stop' }, {}).kind).toBe('start');
  expect(restartVerdict(panicked, { on_panic: 'restart' }, {}).kind).toBe('start');
});

it('starts again at most max_retries times in a row', () => {
  const pool = { restart: { policy: 'on-failure', max_retries: 2 } } as const;
  const record = { lastAtMs: 0, retryAtMs: 0, code: 'aborted', reason: 'instance.exited', message: '' };
  const after = (count: number) => ({ [failureKey('start', 'acme/web/i-1')]: { ...record, count } });
  expect(restartVerdict(badly, pool, {}).kind).toBe('start');
  expect(restartVerdict(badly, pool, after(2)).kind).toBe('start');
  expect(restartVerdict(badly, pool, after(3))).toMatchObject({ kind: 'failed', reason: 'restart.limit' });
});

it('waits as long as the pool says before it starts again, and longer after each failure in a row', () => {
  const nowMs = Date.parse(at);
  const restartOf = () => ({ restart: { policy: 'always', backoff_secs: 5, max_backoff_secs: 8 } }) as const;
  const first = failuresAfterObserving({}, [badly], nowMs, policy, restartOf);
  const [record] = Object.values(first);
  expect(record).toMatchObject({ count: 1, retryAtMs: nowMs + 5000 });
  const later = new Date(nowMs + 6000).toISOString();
  const again = {
    ...badly,
    last_started_at: at,
    stop_reason: { ...(badly.stop_reason as StopReason), at: later },
  };
  const second = failuresAfterObserving(first, [again], nowMs + 6000, policy, restartOf);
  expect(Object.values(second)[0]).toMatchObject({ count: 2, retryAtMs: nowMs + 6000 + 8000 });
});
