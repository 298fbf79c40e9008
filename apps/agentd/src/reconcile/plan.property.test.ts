import type { Hold } from '@mvm/agentd-api';
import type { DesiredState } from '@mvm/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import type { Action } from './types.js';

const START = Date.parse('2026-06-01T12:00:00Z');
const MAX_ACTIONS = 7;

const quotas = fc.record({
  max_vcpus: fc.integer({ min: 0, max: 12 }),
  max_mem_mib: fc.integer({ min: 0, max: 2048 }),
  max_running: fc.integer({ min: 0, max: 8 }),
  max_pools: fc.integer({ min: 0, max: 3 }),
  max_instances_per_pool: fc.integer({ min: 0, max: 6 }),
});

const pool = fc.record({
  running: fc.integer({ min: 0, max: 5 }),
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

function planFor(host: ModelHost, desired: DesiredState, holds: readonly Hold[] = []): readonly Action[] {
  return plan({
    desired,
    observed: observeModel(host),
    overrides: { ...NO_OVERRIDES, holds },
    context: quietContext(host.nowMs, { maxActions: MAX_ACTIONS }),
  }).actions;
}

function runningIn(host: ModelHost, desired: DesiredState): Map<string, number> {
  const pools = desired.tenants.flatMap((tenant) =>
    tenant.pools.map(({ pool_id }) => [tenant.tenant_id, pool_id] as const),
  );
  return new Map(pools.map(([tenant, id]) => [`${tenant}/${id}`, host.runningIn(tenant, id)]));
}

/** Carries out at most `prefix` actions of a pass. The model refuses what breaks a quota or a transition. */
function pass(
  host: ModelHost,
  desired: DesiredState,
  prefix = MAX_ACTIONS,
  holds: readonly Hold[] = [],
): number {
  const before = runningIn(host, desired);
  const actions = planFor(host, desired, holds).slice(0, prefix);
  expect(actions.length).toBeLessThanOrEqual(MAX_ACTIONS);
  for (const action of actions) {
    host.nowMs += 10;
    host.handle(requestFor(action));
  }
  for (const tenant of desired.tenants) {
    for (const { pool_id, desired_counts } of tenant.pools) {
      const name = `${tenant.tenant_id}/${pool_id}`;
      const limit = Math.max(desired_counts.running, before.get(name) ?? 0);
      expect(host.runningIn(tenant.tenant_id, pool_id)).toBeLessThanOrEqual(limit);
    }
  }
  return actions.length;
}

function converge(host: ModelHost, desired: DesiredState): void {
  for (let passes = 0; passes < 60; passes += 1) {
    if (pass(host, desired) === 0) return;
  }
  throw new Error('not converged after 60 passes');
}

/** How many can run in every pool, given quotas: what a converged host must have. */
function wantedOf(desired: DesiredState): { tenant: string; pool: string; running: number }[] {
  return desired.tenants.flatMap((tenant) =>
    tenant.pools.map((entry) => ({
      tenant: tenant.tenant_id,
      pool: entry.pool_id,
      running: entry.desired_counts.running,
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
          expect(planFor(host, desired)).toEqual([]);
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
          for (const { tenant, pool: id, running } of wantedOf(desired)) {
            expect(host.runningIn(tenant, id)).toBe(running);
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
        expect(planFor(host, second)).toEqual([]);
      }),
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
        for (const { tenant, pool: id, running } of wantedOf(desired)) {
          const all = [...host.instances.values()].filter(
            (view) => view.tenant_id === tenant && view.pool_id === id,
          );
          expect(all.length).toBeLessThanOrEqual(running);
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
