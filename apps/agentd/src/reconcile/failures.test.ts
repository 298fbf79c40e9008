import type { InstanceView } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import {
  type BackoffPolicy,
  backoffMs,
  failuresAfterObserving,
  failuresMoved,
  isTerminal,
  recordFailure,
} from './failures.js';

const policy: BackoffPolicy = { baseMs: 1000, capMs: 60_000, stableMs: 600_000 };
const START = Date.parse('2026-06-01T12:00:00Z');
const error = { code: 'internal', reason: 'vmm.failed', message: 'no' } as const;
const KEY = 'start acme/workers/i-1';

function instance(fields: Partial<InstanceView>): InstanceView {
  return {
    ...{ tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1', status: 'running' },
    ...{ status_since: null, role: 'worker' },
    ...{ net: null, image: null, resources: { vcpus: 1, mem_mib: 64, data_disk_mib: 0 }, pid: null },
    ...{ created_at: null, last_started_at: null, last_stopped_at: null, stop_reason: null, operation: null },
    ...fields,
  };
}

function exited(startedMs: number, stoppedMs: number): InstanceView {
  const at = new Date(stoppedMs).toISOString();
  return instance({
    status: 'stopped',
    last_started_at: new Date(startedMs).toISOString(),
    stop_reason: { kind: 'exited', message: 'status 1', exit_code: 1, signal: null, console_tail: '', at },
  });
}

describe('backoff', () => {
  it('doubles up to the cap', () => {
    expect([1, 2, 3, 6, 7, 1000].map((count) => backoffMs(count, policy))).toEqual([
      1000, 2000, 4000, 32_000, 60_000, 60_000,
    ]);
  });

  it('is the cap at once for what fails again until an operator changes something', () => {
    const record = recordFailure(undefined, { ...error, code: 'invalid_argument' }, START, policy);
    expect(record.retryAtMs).toBe(START + 60_000);
    expect(isTerminal(record)).toBe(true);
    expect(isTerminal(recordFailure(undefined, error, START, policy))).toBe(false);
  });
});

describe('an observation', () => {
  it('counts an exit once, however often it is seen', () => {
    const view = exited(START, START + 5000);
    const once = failuresAfterObserving({}, [view], START + 6000, policy);
    expect(once[KEY]).toMatchObject({ count: 1, retryAtMs: START + 6000, reason: 'instance.exited' });
    expect(failuresAfterObserving(once, [view], START + 7000, policy)).toEqual(once);
    const again = failuresAfterObserving(once, [exited(START + 7000, START + 8000)], START + 8500, policy);
    expect(again[KEY]).toMatchObject({ count: 2, retryAtMs: START + 10_000 });
  });

  it.each([720, -720])(
    'counts it once and waits as long when the clock was set by %i hours meanwhile',
    (hours) => {
      const ms = hours * 3_600_000;
      const once = failuresAfterObserving({}, [exited(START, START + 5000)], START + 6000, policy);
      // hostd gives its times by the clock as it is set now, and may read it a moment earlier or later.
      for (const skewMs of [0, 20, -20]) {
        const view = exited(START + ms + skewMs, START + 5000 + ms + skewMs);
        const moved = failuresMoved(once, ms);
        expect(failuresAfterObserving(moved, [view], START + 7000 + ms, policy)).toEqual(moved);
        expect(moved[KEY]).toMatchObject({ count: 1, retryAtMs: START + 6000 + ms });
      }
    },
  );

  it('begins a new row after a VM that ran for long', () => {
    const before = { [KEY]: { ...recordFailure(undefined, error, START, policy), count: 9 } };
    const stoppedMs = START + policy.stableMs + 1000;
    const after = failuresAfterObserving(before, [exited(START + 500, stoppedMs)], stoppedMs, policy);
    expect(after[KEY]?.count).toBe(1);
  });

  it('forgets what is gone, and what runs for long', () => {
    const before = { [KEY]: recordFailure(undefined, error, START, policy) };
    expect(failuresAfterObserving(before, [], START, policy)).toEqual({});
    const young = instance({ last_started_at: new Date(START).toISOString() });
    expect(failuresAfterObserving(before, [young], START + 1000, policy)).toEqual(before);
    expect(failuresAfterObserving(before, [young], START + policy.stableMs, policy)).toEqual({});
  });

  it('takes a stop that was asked for as no failure', () => {
    const stopped = exited(START, START + 1);
    const requested = {
      ...stopped,
      stop_reason: stopped.stop_reason && { ...stopped.stop_reason, kind: 'requested' as const },
    };
    expect(failuresAfterObserving({}, [requested], START + 2, policy)).toEqual({});
  });
});
