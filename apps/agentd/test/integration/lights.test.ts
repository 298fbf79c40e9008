import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

const acme = (running: number, quotas: Record<string, number> = {}, subnet = '10.240.3.0/24') => {
  const tenant = desiredTenant('acme', 3, [desiredPool('workers', { running })], quotas);
  return desiredState([{ ...tenant, network: { tenant_net_id: 3, ipv4_subnet: subnet } }]);
};

describe('light 5: what can never be reached is refused, by a dry run alike', () => {
  it.each([false, true])('counts beyond the quotas, dry_run %s', async (dry_run) => {
    await agentd.start();
    const body = acme(9, { max_running: 4 });
    await expect(agentd.client.putDesired({ body, query: { dry_run } })).rejects.toMatchObject({
      code: 'invalid_argument',
      reason: 'desired_state.unreachable',
      message: expect.stringContaining('tenants[0].quotas.max_running'),
    });
    expect((await agentd.client.getDesired()).desired).toBeNull();
  });

  it.each([false, true])('a subnet outside the range of the host, dry_run %s', async (dry_run) => {
    await agentd.start();
    const body = acme(1, {}, '192.168.4.0/24');
    await expect(agentd.client.putDesired({ body, query: { dry_run } })).rejects.toMatchObject({
      reason: 'desired_state.unreachable',
      message: expect.stringContaining('192.168.4.0/24'),
    });
    expect((await agentd.client.getDesired()).desired).toBeNull();
  });

  it.each([false, true])('another subnet for a tenant that has instances, dry_run %s', async (dry_run) => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(1) });
    const { desired } = await statusWhen(agentd.client, ({ converged }) => converged);
    const body = acme(1, {}, '10.240.9.0/24');
    await expect(agentd.client.putDesired({ body, query: { dry_run } })).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'desired_state.unreachable',
    });
    expect((await agentd.client.getDesired()).revision).toBe(desired.revision);
  });
});

describe('light 6: a status asks hostd', () => {
  it('says at once that hostd is gone, and of when the rest is', async () => {
    await agentd.start(['--interval', '60s']);
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    await hostd.kill();
    const status = await agentd.client.getStatus();
    expect(status.hostd.state).toBe('unreachable');
    expect(status.hostd.error?.reason).toMatch(/^hostd\./);
    expect(status.converged).toBe(false);
    expect(status.settled).toBe(false);
    expect(Date.parse(status.observed_at ?? '')).toBeLessThanOrEqual(Date.now());
    await hostd.restart();
    expect((await agentd.client.getStatus()).hostd).toMatchObject({ state: 'connected', error: null });
  });
});

describe('light 4: what is held is said', () => {
  it('counts the held instances of a host that is as desired', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(2) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const [first] = (await agentd.client.listInstances()).instances;
    const params = { tenant: 'acme', pool: 'workers', instance: first?.instance_id ?? '' };
    await agentd.client.sleepInstance({ params, body: {} });
    const status = await statusWhen(agentd.client, ({ held, converged }) => held === 1 && converged);
    expect(status.pools).toMatchObject([{ actual: { running: 1 }, wanted: { running: 2 }, held: 1 }]);
  });
});

describe('light 2: making run what runs is success, and holds it', () => {
  it('by the API', async () => {
    await agentd.start();
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const [first] = (await agentd.client.listInstances()).instances;
    const params = { tenant: 'acme', pool: 'workers', instance: first?.instance_id ?? '' };
    const started = await agentd.client.startInstance({ params });
    expect(started).toMatchObject({ status: 'running', hold: { kind: 'manual_run' } });
    const lifted = await agentd.client.startInstance({ params, query: { hold_seconds: 0 } });
    expect(lifted.hold).toBeNull();
    expect((await agentd.client.getStatus()).holds).toEqual([]);
  });
});

describe('light 7: a VM that ends by itself', () => {
  it('is looked at when hostd knows of it, not when the clock says so', async () => {
    await agentd.start(['--interval', '60s', '--retry-delay', '10ms']);
    await agentd.client.putDesired({ body: acme(1) });
    await statusWhen(agentd.client, ({ converged }) => converged);
    const [first] = (await agentd.client.listInstances()).instances;
    if (first === undefined) throw new Error('there is no instance');
    hostd.model.crash(first);
    const status = await statusWhen(
      agentd.client,
      ({ recent }) => recent[0]?.kind === 'start' && recent.length > 2,
    );
    expect(status.last_pass?.number).toBeGreaterThan(1);
    // The action is listed when it begins.
    const again = await until('it runs again', async () =>
      (await agentd.client.listInstances()).instances.find(({ status }) => status === 'running'),
    );
    expect(again).toMatchObject({ instance_id: first.instance_id, exit_count: 1 });
  });
});

it('a FIFO as --desired is refused, and does not block the daemon', async () => {
  const fifo = join(host.dir, 'desired');
  expect(spawnSync('mkfifo', ['-m', '0644', fifo]).status).toBe(0);
  const daemon = await agentd.start(['--desired', fifo]);
  const status = await statusWhen(agentd.client, ({ desired }) => desired.error !== null);
  expect(status.desired.error).toMatchObject({
    reason: 'desired.unreadable',
    message: expect.stringContaining('is not a regular file'),
  });
  await daemon.stop();
});
