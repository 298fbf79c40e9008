import { CodedError } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

const twoTenants = desiredState([
  desiredTenant('acme', 3, [desiredPool('workers', { running: 2 }), desiredPool('gateways', { running: 1 })]),
  desiredTenant('beta', 4, [desiredPool('workers', { running: 1 })]),
]);

function acme(running: number, fields: Record<string, unknown> = {}) {
  return desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running, ...fields })])]);
}

async function firstInstance(): Promise<{ tenant: string; pool: string; instance: string }> {
  const [view] = (await agentd.client.listInstances({ query: { tenant: 'acme' } })).instances;
  if (view === undefined) throw new Error('there is no instance');
  return { tenant: view.tenant_id, pool: view.pool_id, instance: view.instance_id };
}

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

describe('an applied state', () => {
  it('is brought to running, tenant by tenant, and every action has a reason', async () => {
    await agentd.start();
    const applied = await agentd.client.putDesired({ body: twoTenants });
    expect(applied).toMatchObject({ applied: true, plan_error: null, problems: [] });
    expect(applied.actions.map(({ kind }) => kind)).toContain('create');
    const status = await statusWhen(agentd.client, ({ converged }) => converged);
    expect(status).toMatchObject({
      node_id: 'node-1',
      settled: true,
      pending: [],
      problems: [],
      desired: { source: 'api', revision: applied.revision, error: null },
      hostd: { state: 'connected', version: 2, server: 'fake-hostd/0' },
      last_pass: { revision: applied.revision, actions: 0 },
    });
    expect(status.pools).toMatchObject([
      {
        tenant_id: 'acme',
        pool_id: 'workers',
        wanted: { running: 2 },
        actual: { running: 2 },
        converged: true,
      },
      { tenant_id: 'acme', pool_id: 'gateways', actual: { running: 1 } },
      { tenant_id: 'beta', pool_id: 'workers', actual: { running: 1 } },
    ]);
    expect(status.recent).toHaveLength(2 + 3 + 4 + 4);
    expect(status.recent.every(({ reason, error }) => reason.length > 10 && error === null)).toBe(true);
    expect(hostd.model.runningIn('acme')).toBe(3);
  });

  it('is followed when it changes, down to nothing', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(3) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(hostd.model.runningIn('acme')).toBe(1);
    await agentd.client.putDesired({ body: { ...desiredState([]), prune_unknown_tenants: true } });
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect([...hostd.model.tenants.keys(), ...hostd.model.instances.keys()]).toEqual([]);
  });

  it('is only planned by a dry run', async () => {
    await agentd.start();
    const { actions, applied } = await agentd.client.putDesired({ body: acme(1), query: { dry_run: true } });
    expect(applied).toBe(false);
    expect(actions.map(({ kind }) => kind)).toEqual(['ensure_tenant', 'ensure_pool', 'create']);
    await agentd.client.reconcile();
    expect(hostd.changes).toEqual([]);
    expect(await agentd.client.getDesired()).toMatchObject({ source: 'none', desired: null });
  });

  it('is repaired when an instance ends on its own', async () => {
    await agentd.start(['--retry-delay', '1s']);
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    for (const view of hostd.model.instances.values()) hostd.model.crash(view);
    const status = await statusWhen(
      agentd.client,
      ({ converged, problems }) => !converged && problems.length > 0,
    );
    expect(status.problems).toMatchObject([{ kind: 'backoff', reason: 'instance.exited' }]);
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(hostd.model.instances.size).toBe(1);
    expect(hostd.model.runningIn('acme')).toBe(1);
  });

  it('is reported as not reached, with the reason, when an image is missing; and reached once it is there', async () => {
    hostd.model.images = [];
    await agentd.start();
    await agentd.client.putDesired({ body: acme(1) });
    const status = await statusWhen(agentd.client, ({ settled }) => settled);
    expect(status.converged).toBe(false);
    expect(status.problems).toMatchObject([
      { kind: 'blocked', reason: 'image.not_found', pool_id: 'workers' },
    ]);
    hostd.model.images = [
      { name: 'demo', digest: `sha256:${'0'.repeat(64)}`, size_bytes: 1, created_at: '', problem: '' },
    ];
    await statusWhen(agentd.client, ({ converged }) => converged);
  });
});

describe('a start that fails', () => {
  it('is tried less and less often, and reported', async () => {
    hostd.model.beforeChange = (request) => {
      if (request.type === 'StartInstance') throw new Error('start failed: no such luck');
    };
    await agentd.start(['--retry-delay', '100ms', '--interval', '100ms']);
    await agentd.client.putDesired({ body: acme(1) });
    const from = performance.now();
    const starts = () => hostd.changes.filter(({ type }) => type === 'StartInstance').length;
    await until('four attempts', () => starts() === 4);
    // 100 + 200 + 400 ms lie between the four.
    expect(performance.now() - from).toBeGreaterThan(690);
    const status = await statusWhen(agentd.client, ({ problems }) => problems.length > 0);
    expect(status.problems).toMatchObject([
      { kind: 'backoff', message: expect.stringContaining('no such luck') },
    ]);
    expect(status.settled).toBe(false);
    expect(status.recent[0]).toMatchObject({
      kind: 'start',
      error: { message: expect.stringContaining('no such luck') },
    });
    expect(hostd.model.instances.size).toBe(1);
  });
});

describe('a manual stop', () => {
  it('holds the slot until a manual start, and a destroyed instance is replaced', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(2) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const params = await firstInstance();

    const stopped = await agentd.client.stopInstance({ params });
    expect(stopped).toMatchObject({ status: 'stopped', hold: { kind: 'manual_stop' } });
    const held = await agentd.client.reconcile();
    expect(held).toMatchObject({ converged: true, holds: [{ instance_id: params.instance }] });
    expect(held.pools).toMatchObject([{ held: 1, actual: { running: 1, stopped: 1 } }]);
    expect(held.problems).toMatchObject([{ kind: 'hold' }]);
    expect(await agentd.client.getInstance({ params })).toMatchObject({
      status: 'stopped',
      hold: stopped.hold,
    });

    expect(await agentd.client.startInstance({ params })).toMatchObject({
      status: 'running',
      hold: { kind: 'manual_run' },
    });
    // It fills the slot that it had: nothing differs from what is wanted.
    expect(await agentd.client.reconcile()).toMatchObject({ converged: true, held: 0, problems: [] });

    await agentd.client.destroyInstance({ params, query: { wipe_volumes: true } });
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(hostd.model.runningIn('acme')).toBe(2);
    await expect(agentd.client.getInstance({ params })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('stays held when it cancels a sleep that is under way', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const params = await firstInstance();
    let cancel = (): void => {};
    const canceled = new Promise<void>((resolve) => {
      cancel = resolve;
    });
    let asleep = false;
    hostd.gate = async ({ type }) => {
      if (type !== 'SleepInstance') return;
      asleep = true;
      await canceled;
      throw new CodedError({ code: 'aborted', reason: 'instance.sleep_canceled', message: 'by a stop' });
    };
    const sleep = agentd.client.sleepInstance({ params, body: {} });
    const refused = expect(sleep).rejects.toMatchObject({ code: 'aborted' });
    await until('the sleep under way', () => asleep);
    const stopped = await agentd.client.stopInstance({ params });
    cancel();
    await refused;
    expect(await agentd.client.reconcile()).toMatchObject({ converged: true, holds: [stopped.hold] });
    expect(hostd.model.runningIn('acme')).toBe(0);
  });

  it('ends with its time', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    await agentd.client.stopInstance({ params: await firstInstance(), query: { hold_seconds: 1 } });
    expect(hostd.model.runningIn('acme')).toBe(0);
    await until('started again', () => hostd.model.runningIn('acme') === 1);
  });

  it('tried with dry_run answers the steps and changes nothing: no request, no hold, no pass', async () => {
    // No pass begins by itself meanwhile.
    await agentd.start(['--interval', '10m']);
    await agentd.client.putDesired({ body: acme(1) });
    const { last_pass } = await statusWhen(agentd.client, ({ converged }) => converged);
    const params = await firstInstance();
    const changes = hostd.changes.length;
    const query = { dry_run: true };
    const step = { kind: 'model.change', object: `acme/workers/${params.instance}` };
    const stop = await agentd.client.stopInstance({ params, query: { ...query, hold_seconds: 60 } });
    expect(stop).toMatchObject({
      status: 'stopped',
      hold: { kind: 'manual_stop' },
      plan: { operation: 'StopInstance', steps: [step] },
    });
    expect(await agentd.client.warmInstance({ params, query: { ...query, hold_seconds: 0 } })).toMatchObject({
      hold: null,
      plan: { operation: 'WarmInstance' },
    });
    const body = { force: true };
    expect((await agentd.client.sleepInstance({ params, query, body })).plan).toMatchObject({
      steps: [step],
    });
    expect((await agentd.client.destroyInstance({ params, query })).plan).toMatchObject({ steps: [step] });
    // What is so already is no error, and has no steps.
    for (const verb of ['startInstance', 'wakeInstance', 'resumeInstance'] as const) {
      expect((await agentd.client[verb]({ params, query })).plan).toMatchObject({ steps: [] });
    }
    expect(hostd.changes.length).toBe(changes);
    const status = await agentd.client.getStatus();
    expect(status.holds).toEqual([]);
    expect(status.last_pass?.trigger).toBe(last_pass?.trigger);
    expect(await agentd.client.getInstance({ params })).toMatchObject({ status: 'running', hold: null });
  });

  it('of an instance that is not there holds nothing', async () => {
    await agentd.start();
    const params = { tenant: 'acme', pool: 'workers', instance: 'i-nosuch' };
    await expect(agentd.client.stopInstance({ params })).rejects.toMatchObject({
      reason: 'instance.not_found',
    });
    expect((await agentd.client.getStatus()).holds).toEqual([]);
  });
});

describe('manual operations', () => {
  async function runningPair() {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(2) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    return firstInstance();
  }

  it('stop lets the guest shut down for as long as the pool says, or the caller, or not at all', async () => {
    const params = await runningPair();
    const asked = { type: 'StopInstance', instance_id: params.instance };
    for (const [query, sent] of [
      [{}, { force: false, shutdown_timeout_secs: 15 }],
      [{ shutdown_timeout_secs: 7 }, { force: false, shutdown_timeout_secs: 7 }],
      [{ force: true }, { force: true }],
    ] as const) {
      await agentd.client.stopInstance({ params, query });
      expect(hostd.changes.at(-1)).toMatchObject({ ...asked, ...sent });
      await agentd.client.startInstance({ params });
    }
  });

  it('sleep holds the slot until wake', async () => {
    const params = await runningPair();
    const asleep = await agentd.client.sleepInstance({ params, body: { drain_timeout_secs: 7 } });
    expect(asleep).toMatchObject({ status: 'sleeping', hold: { kind: 'manual_sleep' } });
    expect(hostd.changes.at(-1)).toMatchObject({
      type: 'SleepInstance',
      instance_id: params.instance,
      force: false,
      drain_timeout_secs: 7,
    });
    const held = await agentd.client.reconcile();
    expect(held).toMatchObject({ converged: true, holds: [asleep.hold] });
    expect(held.pools).toMatchObject([{ held: 1, actual: { running: 1, sleeping: 1 } }]);
    expect(held.problems).toMatchObject([
      {
        kind: 'hold',
        reason: 'instance.manual_sleep',
        message: expect.stringContaining('mvm instance wake'),
      },
    ]);
    expect(hostd.model.instances.size).toBe(2);

    expect(await agentd.client.wakeInstance({ params })).toMatchObject({
      status: 'running',
      hold: { kind: 'manual_run' },
    });
    expect(await agentd.client.reconcile()).toMatchObject({ converged: true, held: 0, problems: [] });
    expect(hostd.model.runningIn('acme')).toBe(2);
  });

  it('warm holds the slot until resume, and a forced sleep takes over its hold', async () => {
    const params = await runningPair();
    const warm = await agentd.client.warmInstance({ params, query: { hold_seconds: 60 } });
    expect(warm).toMatchObject({ status: 'warm', hold: { kind: 'manual_warm' } });
    expect((await agentd.client.reconcile()).problems).toMatchObject([{ reason: 'instance.manual_warm' }]);
    expect(await agentd.client.resumeInstance({ params })).toMatchObject({
      status: 'running',
      hold: { kind: 'manual_run' },
    });

    await agentd.client.warmInstance({ params });
    await agentd.client.sleepInstance({ params, body: { force: true } });
    expect(hostd.changes.at(-1)).toMatchObject({ type: 'SleepInstance', force: true });
    const { holds } = await agentd.client.reconcile();
    expect(holds).toMatchObject([{ kind: 'manual_sleep', instance_id: params.instance }]);
    expect(hostd.model.instances.size).toBe(2);
  });

  it('a reboot is left alone, lifts the hold of a warm instance, and keeps that of one made to run', async () => {
    const params = await runningPair();
    const reboot = () => agentd.client.rebootInstance({ params, query: { force: true } });
    expect(await reboot()).toMatchObject({ status: 'running', hold: null });
    expect(hostd.changes.at(-1)).toMatchObject({ type: 'RebootInstance', force: true });
    const changes = hostd.changes.length;
    expect(await agentd.client.reconcile()).toMatchObject({ converged: true, holds: [], problems: [] });
    expect(hostd.changes).toHaveLength(changes);

    await agentd.client.warmInstance({ params });
    await reboot();
    expect((await agentd.client.reconcile()).holds).toEqual([]);

    await agentd.client.stopInstance({ params });
    await agentd.client.startInstance({ params });
    await reboot();
    expect((await agentd.client.reconcile()).holds).toMatchObject([{ kind: 'manual_run' }]);
    expect(hostd.model.runningIn('acme')).toBe(2);
  });

  it('an operation that is done already begins the hold anew', async () => {
    const params = await runningPair();
    const query = { hold_seconds: 60 };
    expect((await agentd.client.stopInstance({ params, query })).hold).toMatchObject({ kind: 'manual_stop' });
    const changes = hostd.model.instances.size;
    const longer = { hold_seconds: 3600 };
    const tried = await agentd.client.stopInstance({ params, query: { ...longer, dry_run: true } });
    expect(tried.plan).toMatchObject({
      operation: 'stop',
      steps: [],
      notes: [expect.stringContaining('already')],
    });
    const untilMs = async (): Promise<number> =>
      Date.parse((await agentd.client.getStatus()).holds[0]?.until ?? '') - Date.now();
    expect(await untilMs()).toBeLessThanOrEqual(60_000);
    expect(await agentd.client.stopInstance({ params, query: longer })).toMatchObject({ status: 'stopped' });
    expect(await untilMs()).toBeGreaterThan(3_000_000);
    expect(hostd.model.instances.size).toBe(changes);
    // Without a hold there is nothing left to do, and another state is refused.
    for (const refused of [
      agentd.client.stopInstance({ params, query: { hold_seconds: 0 } }),
      agentd.client.sleepInstance({ params, body: {}, query: longer }),
    ])
      await expect(refused).rejects.toMatchObject({ reason: 'instance.invalid_transition' });
    expect(await untilMs()).toBeGreaterThan(3_000_000);
  });

  it('an operation that fails leaves the hold as it was', async () => {
    const params = await runningPair();
    const { hold } = await agentd.client.warmInstance({ params });
    hostd.model.beforeChange = ({ type }) => {
      if (type === 'SleepInstance') throw new Error('no room');
    };
    await expect(agentd.client.sleepInstance({ params, body: {} })).rejects.toThrow('no room');
    expect((await agentd.client.getStatus()).holds).toEqual([hold]);
    await expect(agentd.client.wakeInstance({ params })).rejects.toMatchObject({
      reason: 'instance.invalid_transition',
    });
    expect((await agentd.client.getStatus()).holds).toEqual([hold]);
    const { hold: kept } = await agentd.client.resumeInstance({ params });
    await expect(agentd.client.sleepInstance({ params, body: {} })).rejects.toThrow('no room');
    expect((await agentd.client.getStatus()).holds).toEqual([kept]);
  });
});

describe('after kill -9', () => {
  it('the desired state and the holds are still there', async () => {
    const first = await agentd.start();
    const { revision } = await agentd.client.putDesired({ body: acme(2) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const params = await firstInstance();
    const { hold } = await agentd.client.stopInstance({ params });
    expect(await first.kill()).toBe('SIGKILL');
    // What happened while agentd was gone is seen, not remembered.
    for (const view of hostd.model.instances.values()) if (view.status === 'running') hostd.model.crash(view);

    await agentd.start();
    const status = await statusWhen(agentd.client, ({ converged }) => converged);
    expect(status.desired).toMatchObject({ source: 'api', revision });
    expect(status.holds).toEqual([hold]);
    expect(hostd.model.runningIn('acme')).toBe(1);
    expect(hostd.model.instances.size).toBe(2);
  });

  // Each kind of action of such a pass: once it is asked for, and again while hostd has done it and not answered yet.
  it.each(
    (['EnsureTenant', 'EnsurePool', 'CreateInstance', 'StartInstance'] as const).flatMap((action) =>
      (['is asked for', 'is done and not answered'] as const).map((when) => [action, when] as const),
    ),
  )('in the middle of a pass, when its %s %s, the next agentd finishes it', async (action, when) => {
    hostd.gate = async (request) => {
      if (request.type !== action) return;
      // The model acts when the gate opens; here its answer is lost all the same.
      if (when === 'is done and not answered') hostd.model.handle(request);
      await new Promise(() => {});
    };
    const first = await agentd.start();
    await agentd.client.putDesired({ body: acme(3) });
    await until(`${action} under way`, () => hostd.changes.some(({ type }) => type === action));
    expect(await first.kill()).toBe('SIGKILL');
    hostd.gate = async () => {};
    await agentd.start();
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(hostd.model.runningIn('acme')).toBe(3);
    expect(hostd.model.instances.size).toBe(3);
  });
});
