import { join } from 'node:path';
import { addImage } from '@mvm/image-store';
import type { InstanceView } from '@mvm/protocol';
import { diffHost, type HostSnapshot, type RunningDaemon, snapshotHost } from '@mvm/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AgentdHome, createAgentdHome, statusWhen } from '../harness/agentd.js';
import { CGROUP_PARENT, greetingOf, prepareVmTier, startRealHostd } from '../harness/real-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

const VM_TIMEOUT_MS = 150_000;
// Agentd's user and group in these tests.
const NOBODY = 65_534;

let home: AgentdHome;
let hostd: RunningDaemon | null = null;
let before: HostSnapshot;
let marks: string[];

const small = { instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 } };

/** Two tenants with one worker each, or as many as given. */
function wanted(acme: number, beta: number) {
  return desiredState([
    desiredTenant('acme', 3, [desiredPool('workers', { running: acme, ...small })]),
    desiredTenant('beta', 4, [desiredPool('workers', { running: beta, ...small })]),
  ]);
}

const startHostd = (): Promise<RunningDaemon> => startRealHostd(home);

async function instances(): Promise<readonly InstanceView[]> {
  return (await home.client.listInstances()).instances;
}

const greeting = (view: InstanceView): Promise<string> => greetingOf(home.client, view);

beforeAll(async () => {
  const image = await prepareVmTier();
  home = await createAgentdHome();
  marks = [home.dir, CGROUP_PARENT];
  before = await snapshotHost({ marks });
  hostd = await startHostd();
  await addImage(join(home.dir, 's', 'images'), { ...image, name: 'demo' });
}, VM_TIMEOUT_MS);

afterAll(async () => {
  await home.client
    .putDesired({ body: { ...desiredState([]), prune_unknown_tenants: true } })
    .then(() => statusWhen(home.client, ({ converged }) => converged, 60_000))
    .finally(async () => {
      await hostd?.stop();
      await home.dispose();
    });
  const left = diffHost(before, await snapshotHost({ marks }));
  expect(left.filter(({ change }) => change === 'added')).toEqual([]);
}, VM_TIMEOUT_MS);

it('an agentd without privileges brings two tenants to running guests, through the real hostd', async () => {
  const agentd = await home.start(['--retry-delay', '2s']);
  await home.client.putDesired({ body: wanted(1, 1) });
  const status = await statusWhen(home.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  expect(status.hostd).toMatchObject({ state: 'connected', version: 2 });
  expect(status.agentd).toMatchObject({ uid: NOBODY, pid: agentd.pid });
  expect(status.recent.filter(({ error }) => error !== null)).toEqual([]);

  const views = await instances();
  expect(views.map(({ tenant_id, status: state }) => `${tenant_id} ${state}`)).toEqual([
    'acme running',
    'beta running',
  ]);
  for (const view of views) {
    const line = await greeting(view);
    expect(line).toContain(`tenant=${view.tenant_id} pool=workers instance=${view.instance_id} `);
    expect(line).toContain(`address=${view.net?.guest_ip}/24`);
    expect(line).toContain('gateway_ping=ok');
  }
});

it('starts again a guest whose VMM was killed', async () => {
  const [victim] = await instances();
  if (victim?.pid === null || victim === undefined) throw new Error('no guest runs');
  process.kill(victim.pid, 'SIGKILL');
  await statusWhen(
    home.client,
    ({ problems }) => problems.some(({ reason }) => reason === 'instance.exited'),
    60_000,
  );
  await statusWhen(home.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  const [again] = await instances();
  expect(again).toMatchObject({ instance_id: victim.instance_id, status: 'running' });
  expect(again?.pid).not.toBe(victim.pid);
});

it('goes on after hostd was killed and started again; its guests never noticed', async () => {
  const pids = (await instances()).map(({ pid }) => pid);
  await hostd?.kill();
  await statusWhen(home.client, (status) => status.hostd.state === 'unreachable', 60_000);
  hostd = await startHostd();
  await home.client.putDesired({ body: wanted(1, 2) });
  await statusWhen(home.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  const views = await instances();
  expect(views.map(({ tenant_id }) => tenant_id)).toEqual(['acme', 'beta', 'beta']);
  expect(views.filter(({ pid }) => pids.includes(pid))).toHaveLength(2);
});

it('holds what was stopped manually, and takes down what is not wanted any more', async () => {
  const [view] = await instances();
  if (view === undefined) throw new Error('no guest runs');
  const params = { tenant: view.tenant_id, pool: view.pool_id, instance: view.instance_id };
  await home.client.stopInstance({ params });
  expect(await home.client.reconcile()).toMatchObject({
    converged: true,
    holds: [{ instance_id: view.instance_id }],
  });
  await home.client.putDesired({ body: wanted(1, 0) });
  await statusWhen(home.client, ({ converged }) => converged, 60_000);
  expect((await instances()).map(({ status }) => status)).toEqual(['stopped', 'stopped', 'stopped']);
});
