import type { Hold } from '@mvm/agentd-api';
import { type DesiredCounts, isCodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { type InstanceOperation, ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { failureKey, targetOf } from './actions.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged } from './status.js';
import type { Action, FailureRecord, Plan } from './types.js';

const START = Date.parse('2026-06-01T12:00:00Z');
const MAX_ACTIONS = 7;
const STATES = ['running', 'warm', 'sleeping'] as const;

const quotas = fc.record({
  max_vcpus: fc.integer({ min: 0, max: 12 }),
  max_mem_mib: fc.integer({ min: 0, max: 2048 }),
  max_running: fc.integer({ min: 0, max: 8 }),
  max_warm: fc.integer({ min: 0, max: 3 }),
  max_pools: fc.integer({ min: 0, max: 3 }),
  max_instances_per_pool: fc.integer({ min: 0, max: 6 }),
});

const pool = fc.record({
  running: fc.integer({ min: 0, max: 4 }),
  warm: fc.integer({ min: 0, max: 2 }),
  sleeping: fc.integer({ min: 0, max: 3 }),
  runtime_policy: fc.record({
    min_running_seconds: fc.constantFrom(0, 30),
    min_warm_seconds: fc.constantFrom(0, 20),
  }),
  flake_ref: fc.constantFrom('demo', 'demo', 'demo', 'nosuch'),
  instance_resources: fc.record({
    vcpus: fc.integer({ min: 1, max: 4 }),
    mem_mib: fc.constantFrom(64, 128, 512),
    data_disk_mib: fc.constantFrom(0, 1024),
  }),
});

const state: fc.Arbitrary<DesiredState> = fc
  .record({
    tenants: fc.uniqueArray(
      fc.record({ number: fc.integer({ min: 0, max: 4 }), pools: fc.array(pool, { maxLength: 3 }), quotas }),
      { selector: (tenant) => tenant.number, maxLength: 3 },
    ),
    prune_unknown_tenants: fc.boolean(),
    prune_unknown_pools: fc.boolean(),
  })
  .map(({ tenants, ...flags }) =>
    desiredState(
      tenants.map(({ number, pools, quotas: limits }) =>
        desiredTenant(
          `t${number}`,
          number,
          pools.map((fields, index) => desiredPool(`p${index}`, fields)),
          limits,
        ),
      ),
      flags,
    ),
  );

/** What agentd would remember of wakes that failed; they are not tried again in these tests. */
const failuresOf = new WeakMap<ModelHost, Record<string, FailureRecord>>();
const NEVER = Date.parse('2099-01-01T00:00:00Z');

function planFor(host: ModelHost, desired: DesiredState, holds: readonly Hold[] = []): Plan {
  return plan({
    desired,
    observed: observeModel(host),
    overrides: { ...NO_OVERRIDES, holds },
    context: quietContext(host.nowMs, { maxActions: MAX_ACTIONS, failures: failuresOf.get(host) ?? {} }),
  });
}

interface Counted {
  readonly running: number;
  readonly all: number;
}

/** By pool: how many run, and how many run, are warm or sleep. */
function countsIn(host: ModelHost, desired: DesiredState): Map<string, Counted> {
  return new Map(
    desiredCountsOf(desired).map(({ tenant, pool: id }) => {
      const running = host.countIn(tenant, id, 'running');
      const others = host.countIn(tenant, id, 'warm') + host.countIn(tenant, id, 'sleeping');
      return [`${tenant}/${id}`, { running, all: running + others }];
    }),
  );
}

/**
 * Carries out at most `prefix` actions of a pass, and resolves to them. The model refuses what breaks a quota or a
 * transition. No pool gets more than it wants altogether, and none has fewer running ones for the sake of the others.
 */
function pass(
  host: ModelHost,
  desired: DesiredState,
  prefix = MAX_ACTIONS,
  holds: readonly Hold[] = [],
): readonly Action[] {
  const before = countsIn(host, desired);
  const actions = planFor(host, desired, holds).actions.slice(0, prefix);
  expect(actions.length).toBeLessThanOrEqual(MAX_ACTIONS);
  for (const action of actions) {
    host.nowMs += 10;
    try {
      host.handle(requestFor(action));
    } catch (error) {
      if (!isCodedError(error) || error.reason !== 'snapshot.damaged') throw error;
      const { code, reason, message } = error;
      const times = { count: 1, lastAtMs: host.nowMs, retryAtMs: NEVER };
      const key = failureKey(action.kind, targetOf(action));
      failuresOf.set(host, { ...failuresOf.get(host), [key]: { ...times, code, reason, message } });
    }
  }
  const after = countsIn(host, desired);
  for (const { tenant, pool: id, counts } of desiredCountsOf(desired)) {
    const was = before.get(`${tenant}/${id}`) as Counted;
    const is = after.get(`${tenant}/${id}`) as Counted;
    expect(is.all).toBeLessThanOrEqual(Math.max(counts.running + counts.warm + counts.sleeping, was.all));
    expect(is.running).toBeGreaterThanOrEqual(Math.min(counts.running, was.running));
  }
  return actions;
}

/** Passes until there is nothing to do, with the time that has to pass in between. Resolves to all actions, in order. */
function converge(host: ModelHost, desired: DesiredState): readonly Action[] {
  const done: Action[] = [];
  for (let passes = 0; passes < 80; passes += 1) {
    const actions = pass(host, desired);
    done.push(...actions);
    if (actions.length > 0) continue;
    const due = planFor(host, desired).problems.flatMap(({ kind, until }) =>
      kind !== 'waiting' || until === null ? [] : Date.parse(until),
    );
    if (due.length === 0) return done;
    host.nowMs = Math.max(host.nowMs + 1, Math.min(...due));
  }
  throw new Error('not converged after 80 passes');
}

/** What every pool wants. */
function desiredCountsOf(desired: DesiredState): { tenant: string; pool: string; counts: DesiredCounts }[] {
  return desired.tenants.flatMap((tenant) =>
    tenant.pools.map((entry) => ({
      tenant: tenant.tenant_id,
      pool: entry.pool_id,
      counts: entry.desired_counts,
    })),
  );
}

describe('plan', () => {
  it('converges from any state to any other in bounded passes, and then has nothing to do', () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 3 }), (states) => {
        const host = new ModelHost(START);
        for (const desired of states) {
          converge(host, desired);
          expect(planFor(host, desired).actions).toEqual([]);
          host.nowMs += 3_600_000;
          expect(planFor(host, desired).actions).toEqual([]);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('reaches exactly the wanted counts where no quota and no image is in the way', () => {
    const roomy = state.map((desired) => ({
      ...desired,
      tenants: desired.tenants.map((tenant) => ({
        ...tenant,
        quotas: {
          ...tenant.quotas,
          max_vcpus: 999,
          max_mem_mib: 99_999,
          max_running: 999,
          max_warm: 999,
          max_pools: 9,
          max_instances_per_pool: 99,
        },
        pools: tenant.pools.map((entry) => ({ ...entry, flake_ref: 'demo' })),
      })),
    }));
    fc.assert(
      fc.property(fc.array(roomy, { minLength: 1, maxLength: 3 }), (states) => {
        const host = new ModelHost(START);
        for (const desired of states) {
          // A subnet belongs to one tenant number, so states of one run never disagree about a network.
          converge(host, desired);
          for (const { tenant, pool: id, counts } of desiredCountsOf(desired)) {
            for (const state of STATES) expect(host.countIn(tenant, id, state)).toBe(counts[state]);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('converges after stopping at any prefix of any pass, and after crashes in between', () => {
    const disturbances = fc.array(fc.record({ prefix: fc.nat(MAX_ACTIONS), crash: fc.option(fc.nat(20)) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(state, state, disturbances, (first, second, steps) => {
        const host = new ModelHost(START);
        converge(host, first);
        for (const { prefix, crash } of steps) {
          pass(host, second, prefix);
          const running = [...host.instances.values()].filter(({ status }) => status === 'running');
          const victim = crash === null ? undefined : running[crash % Math.max(1, running.length)];
          if (victim !== undefined) host.crash(victim);
        }
        converge(host, second);
        expect(planFor(host, second).actions).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('converges from any mixture of states, with snapshots that cannot be used among them', () => {
    const status = fc.constantFrom('ready', 'running', 'warm', 'sleeping', 'damaged', 'stopped' as const);
    fc.assert(
      fc.property(
        state,
        state,
        fc.array(status, { minLength: 1, maxLength: 12 }),
        (first, second, statuses) => {
          const host = new ModelHost(START);
          converge(host, first);
          for (const [index, view] of [...host.instances.values()].entries()) {
            const to = statuses[index % statuses.length] ?? 'stopped';
            view.status = to === 'damaged' ? 'sleeping' : to;
            view.status_since = new Date(host.nowMs - 1000 * index).toISOString();
            if (to === 'damaged') host.damage(view);
          }
          const damaged = [...host.instances.values()].filter(({ stop_reason }) => stop_reason !== null);
          converge(host, second);
          expect(planFor(host, second).actions).toEqual([]);
          // Only an operator may discard them.
          for (const view of damaged.filter(({ stop_reason }) => stop_reason?.kind === 'wake_failed')) {
            if (host.instances.has(`${view.tenant_id}/${view.pool_id}/${view.instance_id}`)) {
              expect(view.status).toBe('sleeping');
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('creates no more instances than were ever wanted, whatever is stopped or crashes meanwhile', () => {
    const disturbance = fc.record({ victim: fc.nat(20), how: fc.constantFrom('crash', 'stop', 'held stop') });
    fc.assert(
      fc.property(state, fc.array(disturbance, { maxLength: 6 }), (desired, disturbances) => {
        const host = new ModelHost(START);
        for (const { victim, how } of disturbances) {
          pass(host, desired);
          const running = [...host.instances.values()].filter(({ status }) => status === 'running');
          const view = running[victim % Math.max(1, running.length)];
          if (view === undefined) continue;
          if (how === 'crash') {
            host.crash(view);
            continue;
          }
          // A pass in the middle of a stop by hand, whose hold is set before it.
          view.operation = 'stop';
          const until = new Date(host.nowMs + 1000).toISOString();
          const { tenant_id, pool_id, instance_id } = view;
          const hold = { tenant_id, pool_id, instance_id, kind: 'manual_stop' as const, since: until, until };
          pass(host, desired, MAX_ACTIONS, how === 'stop' ? [] : [hold]);
          view.operation = null;
          host.handle({ type: 'StopInstance', tenant_id, pool_id, instance_id });
        }
        converge(host, desired);
        for (const { tenant, pool: id, counts } of desiredCountsOf(desired)) {
          const all = [...host.instances.values()].filter(
            (view) => view.tenant_id === tenant && view.pool_id === id,
          );
          expect(all.length).toBeLessThanOrEqual(counts.running + counts.warm + counts.sleeping);
        }
      }),
      { numRuns: 150 },
    );
  });

  it('takes nothing back: what it stops, pauses or puts to sleep, it leaves so', () => {
    const back: Partial<Record<Action['kind'], readonly Action['kind'][]>> = {
      stop: ['start', 'wake', 'resume'],
      sleep: ['wake', 'start'],
      warm: ['resume'],
      start: ['stop'],
      wake: ['sleep', 'stop'],
      resume: ['warm', 'stop'],
    };
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 3 }), (states) => {
        const host = new ModelHost(START);
        for (const desired of states) {
          const done = converge(host, desired).filter((action) => 'instance_id' in action);
          for (const [index, { kind, instance_id }] of done.entries()) {
            const later = done.slice(index + 1).filter((other) => other.instance_id === instance_id);
            for (const other of later) expect(back[kind] ?? []).not.toContain(other.kind);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it('is deterministic', () => {
    fc.assert(
      fc.property(state, (desired) => {
        const host = new ModelHost(START);
        pass(host, desired);
        expect(planFor(host, desired)).toEqual(planFor(host, structuredClone(desired)));
      }),
      { numRuns: 50 },
    );
  });
});

const OPERATIONS_BY_HAND = {
  ready: ['StartInstance'],
  stopped: ['StartInstance', 'DestroyInstance'],
  running: ['WarmInstance', 'SleepInstance', 'StopInstance'],
  warm: ['ResumeInstance', 'SleepInstance', 'StopInstance'],
  sleeping: ['WakeInstance', 'StopInstance'],
} as const;

/** Begin an operation on an instance as an operator would; nothing when hostd refuses it. */
function beginByHand(host: ModelHost, which: number, how: number): void {
  const idle = [...host.instances.values()].filter(({ operation }) => operation === null);
  const view = idle[which % Math.max(1, idle.length)];
  const types = OPERATIONS_BY_HAND[view?.status as keyof typeof OPERATIONS_BY_HAND] ?? [];
  const type = types[how % Math.max(1, types.length)];
  if (view === undefined || type === undefined) return;
  const { tenant_id, pool_id, instance_id } = view;
  try {
    host.begin({ type, tenant_id, pool_id, instance_id } as InstanceOperation);
  } catch (error) {
    if (!isCodedError(error) || error.code === 'aborted') throw error;
  }
}

describe('light 1: with operations under way at every pass', () => {
  const step = fc.record({
    begin: fc.array(fc.record({ which: fc.nat(20), how: fc.nat(5) }), { maxLength: 3 }),
    finish: fc.array(fc.record({ which: fc.nat(20), ok: fc.boolean() }), { maxLength: 3 }),
    /** How many of agentd's own actions are still under way when the next pass begins, as after a timeout. */
    slow: fc.nat(3),
  });

  it('never ends a VM that serves in the place of one that does not run yet, asks hostd for nothing that it refuses, and converges', () => {
    fc.assert(
      fc.property(state, fc.array(step, { minLength: 1, maxLength: 10 }), (desired, steps) => {
        const host = new ModelHost(START);
        converge(host, desired);
        const finishAll = (): void => {
          for (const request of host.underWay()) host.finish(request, 'ok');
        };
        for (const { begin, finish, slow } of steps) {
          for (const { which, how } of begin) beginByHand(host, which, how);
          host.nowMs += 60_000;
          const planned = planFor(host, desired);
          if (host.underWay().length > 0 && isOfDesired(host, desired))
            expect(isConverged(planned)).toBe(false);
          expect(planned.actions.filter((action) => isBusy(host, action))).toEqual([]);
          const leaving = planned.actions.filter(
            ({ kind }) => kind === 'stop' || kind === 'warm' || kind === 'sleep',
          );
          for (const { tenant, pool: id, counts } of desiredCountsOf(desired)) {
            const serving = servingIn(host, tenant, id);
            const ended = leaving.filter(
              (action) =>
                'instance_id' in action &&
                serving.has(`${action.tenant_id}/${action.pool_id}/${action.instance_id}`),
            );
            expect(ended.length).toBeLessThanOrEqual(Math.max(0, serving.size - counts.running));
          }
          for (const [index, action] of planned.actions.entries()) {
            const request = requestFor(action);
            host.nowMs += 10;
            // The model refuses what hostd would refuse, with what is under way counted as hostd counts it.
            if (index < slow && 'instance_id' in action) host.begin(request as InstanceOperation);
            else host.handle(request);
          }
          for (const { which, ok } of finish) {
            const all = host.underWay();
            const ended = all[which % Math.max(1, all.length)];
            if (ended !== undefined) host.finish(ended, ok ? 'ok' : 'failed');
          }
        }
        finishAll();
        converge(host, desired);
        expect(planFor(host, desired).actions).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

function isBusy(host: ModelHost, action: Action): boolean {
  if (!('instance_id' in action)) return false;
  const view = host.instances.get(`${action.tenant_id}/${action.pool_id}/${action.instance_id}`);
  return view === undefined || view.operation !== null;
}

/** Whether one of the operations under way is on an instance of the desired state. */
function isOfDesired(host: ModelHost, desired: DesiredState): boolean {
  const pools = new Set(desiredCountsOf(desired).map(({ tenant, pool: id }) => `${tenant}/${id}`));
  return host.underWay().some(({ tenant_id, pool_id }) => pools.has(`${tenant_id}/${pool_id}`));
}

/** Those that run, and are not on their way out of it. */
function servingIn(host: ModelHost, tenant: string, pool_id: string): Set<string> {
  const own = [...host.instances].filter(([, view]) => view.tenant_id === tenant && view.pool_id === pool_id);
  return new Set(
    own.flatMap(([key, view]) => (view.status === 'running' && view.operation === null ? [key] : [])),
  );
}
