import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGuestImage } from '@mvm/guest-image';
import { addImage } from '@mvm/image-store';
import type { InstanceView } from '@mvm/protocol';
import { diffHost, type HostSnapshot, type RunningDaemon, snapshotHost, startDaemon } from '@mvm/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type AgentdHome, createAgentdHome, statusWhen } from '../harness/agentd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

const VM_TIMEOUT_MS = 150_000;
// Agentd's user and group in these tests; hostd lets the group in.
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

function startHostd(): Promise<RunningDaemon> {
  return startDaemon({
    daemon: 'hostd',
    socketPath: home.hostdSocket,
    args: [
      ...['--socket', home.hostdSocket, '--state-dir', join(home.dir, 's'), '--run-dir', join(home.dir, 'r')],
      ...['--group', 'nogroup', '--cgroup-parent', `mvma-${process.pid}`],
    ],
  });
}

async function instances(): Promise<readonly InstanceView[]> {
  return (await home.client.listInstances()).instances;
}

/** The guest's own greeting on its console. */
async function greeting(view: InstanceView): Promise<string> {
  const params = { tenant: view.tenant_id, pool: view.pool_id, instance: view.instance_id };
  let line: string | undefined;
  for (let left = 120; left > 0 && line === undefined; left -= 1) {
    const { data_base64 } = await home.client.getInstanceLogs({ params });
    line = /mvm-guest ready .*boot_id=[0-9a-f-]{36}/.exec(Buffer.from(data_base64, 'base64').toString())?.[0];
    if (line === undefined) await new Promise((resolve) => setTimeout(resolve, 500));
  }
  if (line === undefined) throw new Error(`${view.instance_id} did not greet`);
  return line;
}

beforeAll(async () => {
  if (execFileSync('ip', ['route', 'show', 'default'], { encoding: 'utf8' }) !== '') {
    throw new Error('run the vm tier by `pnpm test:vm`: it needs a network namespace of its own');
  }
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const image = await buildGuestImage({
    outDir: fileURLToPath(new URL('../../../../.cache/guest-image', import.meta.url)),
  });
  home = await createAgentdHome();
  marks = [home.dir, `mvma-${process.pid}`];
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

it('holds what was stopped by hand, and takes down what is not wanted any more', async () => {
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
