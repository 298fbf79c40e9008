import type { Hold } from '@mvm/agentd-api';
import { type InstanceView, isCodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext, sampleModel } from '../../test/model/observe-model.js';
import { type ActivityRecords, activityAfterObserving } from './activity.js';
import { addressOf } from './inventory.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged } from './status.js';
import type { Plan } from './types.js';

// A day of a pool with a sleep policy: guests work and rest, connections and operators wake and suspend them, agentd is
// restarted, the clock is set. What is asserted is known from the load that the test gave, not from what agentd measured.

const START = Date.parse('2026-06-01T12:00:00Z');
const CPU_THRESHOLD = 5;
const NET_THRESHOLD = 1000;

const pool = fc.record({
  running: fc.integer({ min: 1, max: 4 }),
  warm: fc.integer({ min: 0, max: 1 }),
  sleeping: fc.integer({ min: 0, max: 1 }),
  minRunning: fc.integer({ min: 0, max: 2 }),
  minRunningSeconds: fc.constantFrom(0, 30, 120),
  minWarmSeconds: fc.constantFrom(0, 60),
  warmAfter: fc.constantFrom(null, 20, 60),
  sleepAfter: fc.constantFrom(null, 40, 90),
  maxWarm: fc.integer({ min: 1, max: 3 }),
});
type PoolFields = typeof pool extends fc.Arbitrary<infer T> ? T : never;

const step = fc.record({
  seconds: fc.integer({ min: 1, max: 100 }),
  /** Bit `n`: the n-th instance works in this step. */
  working: fc.nat(255),
  byHand: fc.option(fc.record({ which: fc.nat(7), how: fc.constantFrom('sleep', 'wake', 'warm', 'resume') })),
  connects: fc.boolean(),
  restarts: fc.boolean(),
  clock: fc.constantFrom(0, 0, 0, 0, 7_200_000, -7_200_000),
});

function desiredOf(fields: PoolFields): DesiredState {
  const { running, warm, sleeping } = fields;
  return desiredState([
    desiredTenant(
      'acme',
      3,
      [
        desiredPool('workers', {
          ...{ running, warm, sleeping },
          runtime_policy: {
            min_running_seconds: fields.minRunningSeconds,
            min_warm_seconds: fields.minWarmSeconds,
          },
          sleep_policy: {
            warm_threshold_secs: fields.warmAfter,
            sleep_threshold_secs: fields.sleepAfter,
            cpu_threshold: CPU_THRESHOLD,
            net_bytes_threshold: NET_THRESHOLD,
            min_running: fields.minRunning,
          },
        }),
      ],
      { max_warm: fields.maxWarm },
    ),
  ]);
}

/** What the test knows of each VM, on the monotonic clock. */
interface Truth {
  readonly pid: number | null;
  readonly status: InstanceView['status'];
  readonly sinceMs: number;
  readonly busyAtMs: number;
}

class Day {
  readonly host = new ModelHost(START);
  readonly desired: DesiredState;
  holds: Hold[] = [];
  records: ActivityRecords = {};
  truth = new Map<string, Truth>();

  readonly fields: PoolFields;

  constructor(fields: PoolFields) {
    this.fields = fields;
    this.desired = desiredOf(fields);
    this.host.nowMs += 10;
  }

  views(): InstanceView[] {
    return [...this.host.instances.values()];
  }

  held(view: InstanceView): Hold | undefined {
    return this.holds.find(
      ({ instance_id, until }) => instance_id === view.instance_id && Date.parse(until) > this.host.nowMs,
    );
  }

  /** Time passes, and those whose bit is set work all the time. */
  live(seconds: number, working: number): void {
    const busyUntil = this.host.monotonicMs + seconds * 1000;
    for (const [index, view] of this.views().entries()) {
      const works = (working & (1 << index)) !== 0;
      if (view.status !== 'running') continue;
      this.host.work(view, { cpuUsec: seconds * (works ? 600_000 : 10_000), bytes: seconds * 500 });
      const truth = this.truth.get(addressOf(view));
      if (works && truth !== undefined) {
        this.truth.set(addressOf(view), { ...truth, busyAtMs: busyUntil });
      }
    }
    this.host.nowMs += seconds * 1000;
  }

  /** What is another VM, or in another state, since the last look. */
  look(): void {
    const nowMs = this.host.monotonicMs;
    for (const view of this.views()) {
      const { pid, status } = view;
      const before = this.truth.get(addressOf(view));
      if (before?.pid === pid && before.status === status) continue;
      const isWarmed = before?.pid === pid && status === 'warm';
      const busyAtMs = isWarmed ? before.busyAtMs : nowMs;
      this.truth.set(addressOf(view), { pid, status, sinceMs: nowMs, busyAtMs });
    }
  }

  plan(): Plan {
    const sample = sampleModel(this.host);
    const observed = observeModel(this.host);
    this.records = activityAfterObserving(this.records, sample, this.desired, observed);
    return plan({
      desired: this.desired,
      observed,
      overrides: { ...NO_OVERRIDES, holds: this.holds },
      context: quietContext(this.host.nowMs, {
        bootGraceMs: 0,
        activity: { records: this.records, monotonicMs: sample.monotonicMs },
      }),
    });
  }

  /** One pass, with what must hold of every action that the policy planned. */
  pass(): number {
    const { actions } = this.plan();
    const { minRunning, minRunningSeconds, minWarmSeconds, running } = this.fields;
    const nowMs = this.host.monotonicMs;
    const serving = this.views().filter(({ status }) => status === 'running').length;
    let leaving = 0;
    for (const action of actions) {
      if (action.rule !== undefined && 'instance_id' in action) {
        const view = this.host.instances.get(addressOf(action));
        const truth = this.truth.get(addressOf(action));
        if (view === undefined || truth === undefined) throw new Error('an action on nothing');
        expect(this.held(view)).toBeUndefined();
        const least = view.status === 'warm' ? minWarmSeconds : minRunningSeconds;
        expect(nowMs - truth.sinceMs).toBeGreaterThanOrEqual(least * 1000);
        const after = action.kind === 'sleep' ? this.fields.sleepAfter : this.fields.warmAfter;
        expect(nowMs - truth.busyAtMs).toBeGreaterThanOrEqual((after ?? Number.POSITIVE_INFINITY) * 1000);
        if (view.status === 'running') leaving += 1;
      }
      this.host.handle(requestFor(action));
      this.look();
    }
    if (leaving > 0) expect(serving - leaving).toBeGreaterThanOrEqual(Math.min(minRunning, running));
    return actions.length;
  }

  settle(): void {
    for (let passes = 0; this.pass() > 0; passes += 1) {
      if (passes > 20) throw new Error('not settled after 20 passes');
    }
  }

  /** As an operator would over the API, whose hold is set with it; or as a connection does, without one. */
  ask(view: InstanceView | undefined, how: 'sleep' | 'wake' | 'warm' | 'resume', holdSeconds: number): void {
    if (view === undefined) return;
    const { tenant_id, pool_id, instance_id } = view;
    const address = { tenant_id, pool_id, instance_id };
    const types = {
      sleep: 'SleepInstance',
      wake: 'WakeInstance',
      warm: 'WarmInstance',
      resume: 'ResumeInstance',
    };
    try {
      const request = { type: types[how], ...address, force: false };
      this.host.handle(request as Parameters<ModelHost['handle']>[0]);
    } catch (error) {
      if (!isCodedError(error)) throw error;
      return;
    }
    this.look();
    this.holds = this.holds.filter((hold) => hold.instance_id !== instance_id);
    if (holdSeconds === 0) return;
    const kind = how === 'sleep' ? 'manual_sleep' : how === 'warm' ? 'manual_warm' : 'manual_run';
    const since = new Date(this.host.nowMs).toISOString();
    const until = new Date(this.host.nowMs + holdSeconds * 1000).toISOString();
    this.holds.push({ ...address, kind, since, until });
  }
}

describe('a pool with a sleep policy', () => {
  it('suspends only what is idle long enough and ran long enough, whatever happens beside it', () => {
    fc.assert(
      fc.property(pool, fc.array(step, { minLength: 1, maxLength: 25 }), (fields, steps) => {
        const day = new Day(fields);
        day.settle();
        for (const { seconds, working, byHand, connects, restarts, clock } of steps) {
          day.live(seconds, working);
          if (byHand !== null) day.ask(day.views()[byHand.which], byHand.how, 150);
          if (connects) {
            const asleep = day
              .views()
              .find((view) => view.status === 'sleeping' && day.held(view) === undefined);
            day.ask(asleep, 'wake', 0);
          }
          if (restarts) day.records = {};
          day.host.nowMs += clock;
          day.host.clockSkewMs += clock;
          day.pass();
        }
      }),
      { numRuns: 150 },
    );
  });

  it('ends asleep when nothing works any more, loses nothing, and then stays as it is', () => {
    fc.assert(
      fc.property(pool, fc.array(step, { maxLength: 8 }), (fields, steps) => {
        const day = new Day(fields);
        day.settle();
        for (const { seconds, working } of steps) {
          day.live(seconds, working);
          day.pass();
        }
        const pids = (): (number | null)[] => day.views().map(({ pid }) => pid);
        for (let idle = 0; idle < 12; idle += 1) {
          day.live(60, 0);
          day.settle();
        }
        const least = Math.min(fields.minRunning, fields.running);
        const total = fields.running + fields.warm + fields.sleeping;
        const count = (status: string): number => day.views().filter((view) => view.status === status).length;
        expect(day.views().length).toBe(total);
        expect(count('stopped')).toBe(0);
        if (fields.sleepAfter !== null) {
          expect(count('running')).toBe(least);
          expect(count('warm')).toBe(fields.warm);
        } else if (fields.warmAfter !== null) {
          expect(count('running')).toBe(Math.max(least, fields.running + fields.warm - fields.maxWarm));
        } else expect(count('running')).toBe(fields.running);
        const before = pids();
        day.live(600, 0);
        const planned = day.plan();
        expect(planned.actions).toEqual([]);
        expect(isConverged(planned)).toBe(true);
        expect(pids()).toEqual(before);
      }),
      { numRuns: 100 },
    );
  });

  it('puts nothing to sleep for hours when the clock jumps, nor when agentd is restarted again and again', () => {
    fc.assert(
      fc.property(pool, fc.array(fc.integer({ min: 1, max: 19 }), { maxLength: 20 }), (fields, gaps) => {
        const day = new Day({ ...fields, warmAfter: 20, sleepAfter: 40, minRunningSeconds: 0 });
        day.settle();
        for (const seconds of gaps) {
          day.live(seconds, 0);
          day.host.nowMs += 3_600_000;
          day.host.clockSkewMs += 3_600_000;
          day.records = {};
          expect(day.plan().actions.filter(({ rule }) => rule !== undefined)).toEqual([]);
        }
      }),
      { numRuns: 50 },
    );
  });
});
