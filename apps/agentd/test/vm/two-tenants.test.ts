import type { InstanceView } from '@mvm/protocol';
import {
  diffHost,
  type HostSnapshot,
  type RunningDaemon,
  registerDemoImage,
  snapshotHost,
} from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { greetingOf } from '../harness/guest-console.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

const VM_TIMEOUT_MS = 150_000;
// Agentd's user and group in these tests.
const NOBODY = 65_534;

let host: Host;
let agentd: AgentdPlace;
let hostd: RunningDaemon;
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

async function instances(): Promise<readonly InstanceView[]> {
  return (await agentd.client.listInstances()).instances;
}

const greeting = (view: InstanceView): Promise<string> => greetingOf(agentd.client, view);

beforeAll(async () => {
  host = await createHost({ group: 'nogroup' });
  agentd = host.agentd;
  marks = [host.dir, host.cgroupParent];
  before = await snapshotHost({ marks });
  hostd = await host.start();
  await registerDemoImage(host.stateDir);
}, VM_TIMEOUT_MS);

afterAll(async () => {
  try {
    await agentd.client.putDesired({ body: { ...desiredState([]), prune_unknown_tenants: true } });
    await statusWhen(agentd.client, ({ converged }) => converged, 60_000);
    await host.stop();
    const left = diffHost(before, await snapshotHost({ marks }));
    expect(left.filter(({ change }) => change === 'added')).toEqual([]);
  } finally {
    await host.dispose();
  }
}, VM_TIMEOUT_MS);

it('an agentd without privileges brings two tenants to running guests, through the real hostd', async () => {
  const daemon = await agentd.start(['--retry-delay', '2s']);
  await agentd.client.putDesired({ body: wanted(1, 1) });
  const status = await statusWhen(agentd.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  expect(status.hostd).toMatchObject({ state: 'connected', version: 2 });
  expect(status.agentd).toMatchObject({ uid: NOBODY, pid: daemon.pid });
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
    agentd.client,
    ({ problems }) => problems.some(({ reason }) => reason === 'instance.exited'),
    60_000,
  );
  await statusWhen(agentd.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  const [again] = await instances();
  expect(again).toMatchObject({ instance_id: victim.instance_id, status: 'running' });
  expect(again?.pid).not.toBe(victim.pid);
});

it('goes on after hostd was killed and started again; its guests never noticed', async () => {
  const pids = (await instances()).map(({ pid }) => pid);
  await hostd.kill();
  await statusWhen(agentd.client, (status) => status.hostd.state === 'unreachable', 60_000);
  hostd = await host.start();
  await agentd.client.putDesired({ body: wanted(1, 2) });
  await statusWhen(agentd.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  const views = await instances();
  expect(views.map(({ tenant_id }) => tenant_id)).toEqual(['acme', 'beta', 'beta']);
  expect(views.filter(({ pid }) => pids.includes(pid))).toHaveLength(2);
});

it('holds what was stopped manually, and takes down what is not wanted any more', async () => {
  const [view] = await instances();
  if (view === undefined) throw new Error('no guest runs');
  const params = { tenant: view.tenant_id, pool: view.pool_id, instance: view.instance_id };
  await agentd.client.stopInstance({ params });
  expect(await agentd.client.reconcile()).toMatchObject({
    converged: true,
    holds: [{ instance_id: view.instance_id }],
  });
  await agentd.client.putDesired({ body: wanted(1, 0) });
  await statusWhen(agentd.client, ({ converged }) => converged, 60_000);
  expect((await instances()).map(({ status }) => status)).toEqual(['stopped', 'stopped', 'stopped']);
});
