import type { InstanceStatus, NetworkPolicy } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { beforeEach, describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { failureKey, targetOf } from './actions.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import type { FailureRecord, Overrides, Plan, PlanContext } from './types.js';

const NOW = Date.parse('2026-06-01T12:00:00Z');
let host: ModelHost;

function planNow(
  desired: DesiredState,
  overrides: Partial<Overrides> = {},
  context: Partial<PlanContext> = {},
): Plan {
  return plan({
    desired,
    observed: observeModel(host),
    overrides: { ...NO_OVERRIDES, ...overrides },
    context: quietContext(host.nowMs, context),
  });
}

/** `kind target` of every action, in order. */
function steps(result: Plan): string[] {
  return result.actions.map((action) => `${action.kind} ${targetOf(action)}`);
}

/** The steps about instances: a new count is also a change of the pool, which is ensured first. */
function moves(result: Plan): string[] {
  return steps(result).filter((step) => !step.startsWith('ensure_'));
}

function reasons(result: Plan): string[] {
  return result.problems.map((problem) => `${problem.kind} ${problem.reason}`);
}

/** Plan and carry out until nothing is left; the steps of each pass. */
function converge(desired: DesiredState, overrides: Partial<Overrides> = {}): string[][] {
  const passes: string[][] = [];
  for (let pass = 0; pass < 20; pass += 1) {
    const result = planNow(desired, overrides);
    if (result.actions.length === 0) return passes;
    for (const action of result.actions) host.handle(requestFor(action));
    passes.push(steps(result));
  }
  throw new Error('not converged after 20 passes');
}

function workers(running: number, fields: Record<string, unknown> = {}, quotas: Record<string, number> = {}) {
  return desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running, ...fields })], quotas)]);
}

function failed(count: number, fields: Partial<FailureRecord> = {}): FailureRecord {
  const error = { code: 'internal', reason: 'vmm.failed', message: 'start failed: no' };
  return { count, lastAtMs: host.nowMs - 1000, retryAtMs: host.nowMs + 1000, ...error, ...fields };
}

function setStatus(index: number, status: InstanceStatus, fields: object = {}): string {
  const view = [...host.instances.values()][index];
  if (view === undefined) throw new Error(`no instance ${index}`);
  Object.assign(view, { status, ...fields });
  return view.instance_id;
}

beforeEach(() => {
  host = new ModelHost(NOW);
});

describe('from nothing to running', () => {
  it('ensures the tenant, the pool, creates, and starts what it created in the next pass', () => {
    expect(converge(workers(2))).toEqual([
      ['ensure_tenant acme', 'ensure_pool acme/workers', 'create acme/workers', 'create acme/workers'],
      ['start acme/workers/i-00000001', 'start acme/workers/i-00000002'],
    ]);
    expect(host.runningIn('acme')).toBe(2);
  });

  it('gives the network that follows from the desired state, and a reason', () => {
    const [action] = planNow(workers(1)).actions;
    expect(action).toMatchObject({
      kind: 'ensure_tenant',
      net: {
        tenant_net_id: 3,
        ipv4_subnet: '10.240.3.0/24',
        gateway_ip: '10.240.3.1',
        bridge_name: 'br-tenant-3',
      },
      reason: 'the tenant is wanted and not on the host',
    });
  });

  it('takes one of each pool in turn, critical pools first', () => {
    const desired = desiredState([
      desiredTenant('acme', 1, [desiredPool('a', { running: 2 }), desiredPool('b', { running: 1 })]),
      desiredTenant('beta', 2, [desiredPool('c', { running: 2 })]),
    ]);
    const result = planNow(desired, { critical: ['beta/c'] });
    expect(steps(result).filter((step) => step.startsWith('create'))).toEqual([
      'create beta/c',
      'create beta/c',
      'create acme/a',
      'create acme/b',
      'create acme/a',
    ]);
  });

  it('makes at most so many actions, and says how many are left', () => {
    const result = planNow(workers(5), {}, { maxActions: 3 });
    expect(result.actions).toHaveLength(3);
    expect(result.problems).toMatchObject([
      { kind: 'waiting', reason: 'plan.limit', message: expect.stringContaining('4 more') },
    ]);
  });
});

describe('to the running count', () => {
  it('starts stopped instances, oldest first, before it creates', () => {
    converge(workers(2));
    setStatus(0, 'stopped');
    host.nowMs += 1000;
    expect(moves(planNow(workers(3)))).toEqual(['start acme/workers/i-00000001', 'create acme/workers']);
  });

  it('does not start more than is wanted out of many stopped ones', () => {
    converge(workers(3));
    for (const index of [0, 1, 2]) setStatus(index, 'stopped');
    expect(moves(planNow(workers(1)))).toEqual(['start acme/workers/i-00000001']);
  });

  it('stops the one that was started last', () => {
    converge(workers(1));
    host.nowMs += 60_000;
    converge(workers(3));
    const result = planNow(workers(1));
    expect(moves(result)).toEqual(['stop acme/workers/i-00000003', 'stop acme/workers/i-00000002']);
    expect(result.actions.at(-1)?.reason).toContain('wants 1 running and has 3');
  });

  it('lets an instance run for the minimum time first, and says until when', () => {
    const policy = { runtime_policy: { min_running_seconds: 60 } };
    converge(workers(2, policy));
    host.nowMs += 20_000;
    const result = planNow(workers(1, policy));
    expect(moves(result).filter((step) => step.startsWith('stop'))).toEqual([]);
    expect(result.problems).toMatchObject([
      { kind: 'waiting', reason: 'instance.min_running', until: new Date(NOW + 60_000).toISOString() },
    ]);
    host.nowMs += 40_000;
    expect(moves(planNow(workers(1, policy)))).toEqual(['stop acme/workers/i-00000002']);
  });

  it('counts an instance that is being started, and leaves a busy one alone', () => {
    converge(workers(2));
    setStatus(0, 'stopped', { operation: 'start' });
    setStatus(1, 'running', { operation: 'stop' });
    expect(moves(planNow(workers(1)))).toEqual([]);
    expect(moves(planNow(workers(2)))).toEqual([]);
    expect(reasons(planNow(workers(2)))).toEqual(['waiting instance.busy', 'waiting instance.busy']);
    setStatus(1, 'running', { operation: 'destroy' });
    expect(moves(planNow(workers(2)))).toEqual(['create acme/workers']);
    setStatus(1, 'running', { operation: 'stop' });
    expect(reasons(planNow(workers(0)))).toEqual(['waiting instance.busy', 'waiting instance.busy']);
  });

  it('stops nothing that is pinned or critical', () => {
    converge(workers(2));
    for (const overrides of [{ pinned: ['acme/workers'] }, { critical: ['acme'] }]) {
      const result = planNow(workers(0), overrides);
      expect(moves(result)).toEqual([]);
      expect(result.problems).toMatchObject([{ kind: 'protected' }]);
    }
  });

  it('changes the pool when its spec differs, once', () => {
    converge(workers(1));
    const bigger = workers(1, { instance_resources: { vcpus: 2, mem_mib: 256, data_disk_mib: 0 } });
    expect(converge(bigger)).toEqual([['ensure_pool acme/workers']]);
    expect(converge(bigger)).toEqual([]);
  });

  it('changes the network policy of a tenant and of a pool when it differs, once, and takes it back', () => {
    converge(workers(1));
    const network = { tenant_net_id: 3, ipv4_subnet: '10.240.3.0/24' };
    const limits = { connections: 5 };
    const withPolicy = (state: DesiredState, policy: NetworkPolicy): DesiredState => ({
      ...state,
      tenants: state.tenants.map((tenant) => ({ ...tenant, network: { ...network, policy } })),
    });
    const denied = withPolicy(workers(1), { egress: 'none', limits });
    expect(planNow(denied).actions).toMatchObject([
      { kind: 'ensure_tenant', reason: "the tenant's network policy differs from what is wanted" },
    ]);
    expect(converge(denied)).toEqual([['ensure_tenant acme']]);
    expect(converge(withPolicy(workers(1), { limits, egress: 'none' }))).toEqual([]);
    const publish = [{ protocol: 'tcp', host_port: 80, guest_port: 80 }];
    const published = withPolicy(workers(1, { network_policy: { publish } }), { egress: 'none', limits });
    expect(converge(published)).toEqual([['ensure_pool acme/workers']]);
    expect(converge(workers(1))).toEqual([['ensure_tenant acme', 'ensure_pool acme/workers']]);
  });

  it('brings up a network that is down', () => {
    converge(workers(1));
    const tenant = host.tenants.get('acme');
    if (tenant !== undefined) tenant.networkUp = false;
    expect(planNow(workers(1)).actions).toMatchObject([
      { kind: 'ensure_tenant', reason: "the tenant's network is down" },
    ]);
  });
});

describe('what is in the way', () => {
  it('is a missing image: nothing is created', () => {
    const result = planNow(workers(1, { flake_ref: 'nosuch' }));
    expect(steps(result)).toEqual(['ensure_tenant acme', 'ensure_pool acme/workers']);
    expect(result.problems).toMatchObject([
      { kind: 'blocked', reason: 'image.not_found', message: expect.stringContaining('mvm image add') },
    ]);
  });

  it('is an image with another digest, or a damaged one', () => {
    expect(reasons(planNow(workers(1, { flake_ref: `demo@sha256:${'1'.repeat(64)}` })))).toEqual([
      'blocked image.not_found',
    ]);
    expect(reasons(planNow(workers(1, { flake_ref: `demo@sha256:${'0'.repeat(64)}` })))).toEqual([]);
    host.images = host.images.map((image) => ({ ...image, problem: 'rootfs.ext4 is missing' }));
    expect(reasons(planNow(workers(1)))).toEqual(['blocked image.damaged']);
  });

  it.each([
    ['max_running', { max_running: 1 }],
    ['max_vcpus', { max_vcpus: 1 }],
    ['max_mem_mib', { max_mem_mib: 200 }],
    ['max_instances_per_pool', { max_instances_per_pool: 1 }],
    ['max_disk_gib', { max_disk_gib: 1 }],
  ])('is the quota %s', (name, quotas) => {
    const resources = { instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 1024 } };
    const desired = workers(3, resources, quotas);
    converge(desired);
    expect(host.runningIn('acme')).toBe(1);
    expect(reasons(planNow(desired))).toEqual([`blocked quota.${name}`]);
  });

  it('is the quota max_pools', () => {
    const pools = [desiredPool('a', { running: 1 }), desiredPool('b', { running: 1 })];
    const desired = desiredState([desiredTenant('acme', 1, pools, { max_pools: 1 })]);
    converge(desired);
    expect([...(host.tenants.get('acme')?.pools.keys() ?? [])]).toEqual(['a']);
    expect(reasons(planNow(desired))).toEqual(['blocked quota.max_pools']);
  });

  it("is a subnet outside the host's range", () => {
    const outside = {
      ...desiredTenant('acme', 1, []),
      network: { tenant_net_id: 1, ipv4_subnet: '192.168.1.0/24' },
    };
    const result = planNow(desiredState([outside]));
    expect(steps(result)).toEqual([]);
    expect(reasons(result)).toEqual(['blocked net.subnet_outside_cluster']);
  });
});

describe('a manual stop', () => {
  const hold = (instance_id: string) => ({
    tenant_id: 'acme',
    pool_id: 'workers',
    instance_id,
    kind: 'manual_stop' as const,
    since: new Date(NOW).toISOString(),
    until: new Date(NOW + 900_000).toISOString(),
  });

  it('keeps the slot: the instance is neither started nor replaced until the hold ends', () => {
    converge(workers(2));
    const holds = [hold(setStatus(0, 'stopped'))];
    const result = planNow(workers(2), { holds });
    expect(steps(result)).toEqual([]);
    expect(result.problems).toMatchObject([{ kind: 'hold', until: holds[0]?.until }]);
    expect(result.pools).toMatchObject([{ held: 1 }]);
    expect(moves(planNow(workers(3), { holds }))).toEqual(['create acme/workers']);
    host.nowMs += 900_000;
    expect(moves(planNow(workers(2), { holds }))).toEqual(['start acme/workers/i-00000001']);
  });

  it('holds one that is still being stopped', () => {
    converge(workers(1));
    const holds = [hold(setStatus(0, 'running', { operation: 'stop' }))];
    const result = planNow(workers(1), { holds });
    expect(moves(result)).toEqual([]);
    expect(reasons(result)).toEqual(['hold instance.manual_stop', 'waiting instance.busy']);
  });

  it('does not hold one that runs again', () => {
    converge(workers(2));
    const holds = [hold('i-00000001')];
    expect(moves(planNow(workers(1), { holds }))).toEqual(['stop acme/workers/i-00000002']);
  });
});

describe('after failures', () => {
  it('waits before it starts again, reports it, and does not create in its place', () => {
    converge(workers(1));
    const id = setStatus(0, 'stopped');
    const failures = { [failureKey('start', `acme/workers/${id}`)]: failed(3) };
    const result = planNow(workers(1), {}, { failures });
    expect(steps(result)).toEqual([]);
    expect(result.problems).toMatchObject([
      {
        kind: 'backoff',
        reason: 'vmm.failed',
        instance_id: id,
        message: expect.stringContaining('3 times in a row'),
      },
    ]);
    host.nowMs += 1000;
    expect(moves(planNow(workers(1), {}, { failures }))).toEqual([`start acme/workers/${id}`]);
  });

  it('prefers another stopped instance to one that waits', () => {
    converge(workers(2));
    setStatus(0, 'stopped');
    setStatus(1, 'stopped');
    const failures = { [failureKey('start', 'acme/workers/i-00000001')]: failed(1) };
    expect(moves(planNow(workers(1), {}, { failures }))).toEqual(['start acme/workers/i-00000002']);
  });

  it('reports as blocked what fails again until an operator changes something', () => {
    const failures = {
      [failureKey('ensure_tenant', 'acme')]: failed(1, { code: 'invalid_argument', reason: 'net.overlap' }),
    };
    const result = planNow(workers(1), {}, { failures });
    expect(steps(result)).toEqual([]);
    expect(reasons(result)).toEqual(['blocked net.overlap']);
  });
});

describe('what is on the host and not wanted', () => {
  const empty = desiredState([]);

  it('is reported and left alone', () => {
    converge(workers(1));
    expect(moves(planNow(empty))).toEqual([]);
    expect(reasons(planNow(empty))).toEqual(['unmanaged tenant.unmanaged']);
    const otherPool = desiredState([desiredTenant('acme', 3, [])]);
    expect(reasons(planNow(otherPool))).toEqual(['unmanaged pool.unmanaged']);
  });

  it('is taken down from the inside when pruning is asked for', () => {
    converge(workers(1));
    expect(converge(desiredState([], { prune_unknown_tenants: true }))).toEqual([
      ['destroy acme/workers/i-00000001'],
      ['remove_pool acme/workers'],
      ['remove_tenant acme'],
    ]);
    expect(host.tenants.size).toBe(0);
  });

  it('loses only its pools when only those are to be pruned', () => {
    converge(workers(1));
    converge(desiredState([desiredTenant('acme', 3, [])], { prune_unknown_pools: true }));
    expect(host.tenants.get('acme')?.pools.size).toBe(0);
    converge(desiredState([], { prune_unknown_pools: true }));
    expect(host.tenants.size).toBe(1);
  });

  it('stays when it is pinned', () => {
    converge(workers(1));
    const result = planNow(desiredState([], { prune_unknown_tenants: true }), { pinned: ['acme/workers'] });
    expect(steps(result)).toEqual([]);
    expect(reasons(result)).toEqual(['protected pool.pinned']);
  });
});

it('is plain data: a plan survives JSON', () => {
  const result = planNow(workers(2));
  expect(JSON.parse(JSON.stringify(result))).toEqual(result);
});
