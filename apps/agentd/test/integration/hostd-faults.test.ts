import { until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd | null;

const threeWorkers = desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running: 3 })])]);

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = null;
});
afterEach(async () => {
  await host.dispose();
  await hostd?.close();
});

it('waits for a hostd that is not there, says so, and goes on when it comes', async () => {
  await agentd.start();
  const applied = await agentd.client.putDesired({ body: threeWorkers });
  expect(applied).toMatchObject({ applied: true, actions: [], plan_error: { reason: 'hostd.unreachable' } });
  await expect(agentd.client.ping()).rejects.toMatchObject({
    code: 'unavailable',
    reason: 'hostd.unreachable',
  });
  await expect(agentd.client.listInstances()).rejects.toMatchObject({
    hint: expect.stringContaining('mvm-hostd'),
  });
  expect(await agentd.client.getVersion()).toMatchObject({ hostd: null, compatible: false });
  const status = await agentd.client.getStatus();
  expect(status).toMatchObject({
    converged: false,
    settled: false,
    hostd: { state: 'unreachable', version: null },
  });

  hostd = await startFakeHostd(host.socketPath);
  await statusWhen(agentd.client, ({ converged }) => converged);
  expect(hostd.model.runningIn('acme')).toBe(3);
  expect(await agentd.client.ping()).toMatchObject({ agentd: 'ok', protocol_version: 2 });
});

it('does not call a hostd connected that went away since the last pass', async () => {
  const fake = await startFakeHostd(host.socketPath);
  hostd = fake;
  // The next pass by itself would be a minute away.
  await agentd.start(['--interval', '1m']);
  await agentd.client.putDesired({ body: threeWorkers });
  await statusWhen(agentd.client, (status) => status.converged && status.hostd.state === 'connected');
  await fake.kill();
  await statusWhen(agentd.client, (status) => status.hostd.state === 'unreachable');
});

it('finishes a pass in the middle of which hostd was restarted', async () => {
  const fake = await startFakeHostd(host.socketPath);
  hostd = fake;
  let release = (): void => {};
  const blocked = new Promise<void>((resolve) => {
    release = resolve;
  });
  let starts = 0;
  fake.gate = async ({ type }) => {
    if (type !== 'StartInstance') return;
    starts += 1;
    if (starts === 2) await blocked;
  };
  await agentd.start(['--parallel-actions', '1']);
  await agentd.client.putDesired({ body: threeWorkers });
  await until('the second start under way', () => starts === 2);
  await fake.kill();
  const lost = await statusWhen(agentd.client, (status) => status.hostd.state === 'unreachable');
  expect(lost.converged).toBe(false);
  // Done by the old hostd, whose answer was lost.
  release();
  await fake.restart();
  const status = await statusWhen(agentd.client, ({ converged }) => converged);
  expect(fake.model.runningIn('acme')).toBe(3);
  expect(fake.model.instances.size).toBe(3);
  expect(status.problems).toEqual([]);
});

it('says that a version 1 hostd is too old, and still does what version 1 can', async () => {
  hostd = await startFakeHostd(host.socketPath, { versions: [1] });
  for (const request of [
    {
      type: 'EnsureTenant',
      tenant_id: 'acme',
      net: {
        tenant_net_id: 3,
        ipv4_subnet: '10.240.3.0/24',
        gateway_ip: '10.240.3.1',
        bridge_name: 'br-tenant-3',
      },
      quotas: threeWorkers.tenants[0]?.quotas as never,
    },
    {
      type: 'EnsurePool',
      tenant_id: 'acme',
      pool_id: 'workers',
      spec: threeWorkers.tenants[0]?.pools[0] as never,
    },
    { type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers' },
  ] as const) {
    hostd.model.handle(request);
  }
  await agentd.start();
  await agentd.client.putDesired({ body: threeWorkers });
  const status = await statusWhen(agentd.client, ({ last_pass }) => last_pass !== null);
  expect(status).toMatchObject({
    converged: false,
    hostd: { state: 'protocol_mismatch', version: 1, error: { reason: 'hostd.version_too_old' } },
  });
  expect(await agentd.client.ping()).toMatchObject({ protocol_version: 1 });
  expect(await agentd.client.getVersion()).toMatchObject({
    compatible: false,
    hostd: { version: null, protocol_version: 1 },
  });
  await expect(agentd.client.getHost()).rejects.toMatchObject({ code: 'protocol_mismatch' });
  const params = { tenant: 'acme', pool: 'workers', instance: 'i-00000001' };
  expect(await agentd.client.startInstance({ params })).toMatchObject({ status: 'running' });
  expect(hostd.model.runningIn('acme')).toBe(1);
});

it('ends at once on SIGTERM, also while hostd is slow, and takes its socket away', async () => {
  const fake = await startFakeHostd(host.socketPath);
  hostd = fake;
  fake.gate = async ({ type }) => {
    if (type === 'StartInstance') await new Promise(() => {});
  };
  const daemon = await agentd.start();
  await agentd.client.putDesired({ body: threeWorkers });
  await until('a start under way', () => fake.changes.some(({ type }) => type === 'StartInstance'));
  const waiting = agentd.client.reconcile().catch((error: unknown) => error);
  const from = performance.now();
  expect(await daemon.stop()).toBe('status 0');
  expect(performance.now() - from).toBeLessThan(3000);
  await waiting;
  await expect(agentd.client.getStatus()).rejects.toMatchObject({
    reason: 'agentd.unreachable',
    details: { errno: 'ENOENT' },
  });
  expect(daemon.logs()).toContain('"stopped"');
});
