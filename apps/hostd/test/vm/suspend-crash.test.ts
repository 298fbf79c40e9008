import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import type { HostdClient } from '@mvm/hostd-client';
import type { HostSnapshot, RunningDaemon } from '@mvm/testkit';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { StepKind } from '../../src/lifecycle/steps.js';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from './vm-host.js';

// hostd dies at every step of a sleep and of a wake. Whatever the step: the guest is never restored twice, never lost
// unless its snapshot was used up, and nothing of it is left where it should not be.

let host: TestHost;
let client: HostdClient;
let daemon: RunningDaemon;
let quiet: HostSnapshot;
let hello: string;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-crash' };
const bystander: InstanceAddress = { tenant_id: 'globex', pool_id: 'workers', instance_id: 'i-by' };

beforeAll(async () => {
  host = await createVmHost();
  daemon = await host.start({ args: ['--log-level', 'trace'] });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
  await client.request({ type: 'CreateInstance', ...bystander });
  await client.request({ type: 'StartInstance', ...bystander });
  await greeting(client, bystander);
  await client.request({ type: 'CreateInstance', ...address });
  quiet = await look(host);
  await client.request({ type: 'StartInstance', ...address });
  hello = await greeting(client, address);
}, 240_000);
afterAll(() => host.dispose());

const info = (
  of = address,
): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...of });
const sleep = (): Promise<unknown> =>
  client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
const wake = (): Promise<unknown> =>
  client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
const snapshots = (): Promise<string[]> => readdir(instanceFile(host, address, 'snapshots')).catch(() => []);

let bystanderPid: number | null;

beforeEach(async () => {
  bystanderPid = (await info(bystander)).pid;
  expect(bystanderPid).not.toBeNull();
});

/** Kill hostd as soon as it says that this step begins, and start it again. Answers which step it had come to by then. */
async function killAt(step: StepKind, request: () => Promise<unknown>): Promise<StepKind> {
  const from = daemon.logs().length;
  const answered = request().catch(() => 'failed');
  const said = new RegExp(`"step":"${step.replace('.', '\\.')}".*"msg":"step begins"`);
  await until(`${step} begins`, async () => said.test(daemon.logs().slice(from)));
  await daemon.kill();
  await answered;
  const begun = [
    ...daemon
      .logs()
      .slice(from)
      .matchAll(/"step":"([a-z._]+)","msg":"step begins"/g),
  ];
  daemon = await host.start({ args: ['--log-level', 'trace'] });
  return begun.at(-1)?.[1] as StepKind;
}

/** The guest is the one that greeted first, and it goes on: same boot, still counting. */
async function isTheSameGuest(): Promise<void> {
  const counted = await guestCount(client, address);
  await until('counting on', async () => (await guestCount(client, address)) > counted, 60_000);
  expect(await greeting(client, address)).toBe(hello);
  // With its port on the bridge, of which the guest itself knows nothing.
  const ports = execFileSync('ip', ['-br', 'link', 'show', 'master', 'br-tenant-3', 'up'], {
    encoding: 'utf8',
  });
  expect(ports).toContain((await info()).net?.tap_dev);
}

async function nothingElseHappened(): Promise<void> {
  await expect(readFile(instanceFile(host, address, 'op.json'))).rejects.toThrow('ENOENT');
  expect((await info(bystander)).pid).toBe(bystanderPid);
}

const sleepUndone = ['vm.pause', 'snapshot.write', 'snapshot.commit'] as const satisfies readonly StepKind[];
const sleepFinished = [
  'vm.kill',
  'instance.commit_sleeping',
  'port.detach',
  'cgroup.remove',
  'runtime.remove',
] as const satisfies readonly StepKind[];
const wakeUndone = [
  'snapshot.verify',
  'runtime.create',
  'config_drive.build',
  'cgroup.create',
  'port.attach',
  'vm.restore',
  'vm.record',
  'snapshot.consume',
] as const satisfies readonly StepKind[];
const wakeFinished = [
  'vm.resume',
  'guest.wake',
  'instance.commit_running',
  'snapshot.discard',
] as const satisfies readonly StepKind[];

test('what follows kills at every step that there is', async () => {
  const from = daemon.logs().length;
  await sleep();
  await wake();
  await isTheSameGuest();
  const begun = [
    ...daemon
      .logs()
      .slice(from)
      .matchAll(/"step":"([a-z._]+)","msg":"step begins"/g),
  ].map((match) => match[1]);
  expect(begun).toEqual([...sleepUndone, ...sleepFinished, ...wakeUndone, ...wakeFinished]);
});

test.each(sleepUndone)('hostd killed while a sleep is at %s: the guest runs on', async (step) => {
  const reached = await killAt(step, sleep);
  // The signal may come a step later than it was sent for; at the commit itself, before or after the rename.
  const { status } = await info();
  if (reached !== 'snapshot.commit') {
    expect(status).toBe((sleepUndone as readonly StepKind[]).includes(reached) ? 'running' : 'sleeping');
  }
  if (status === 'sleeping') await wake();
  expect(await info()).toMatchObject({ status: 'running' });
  expect(await snapshots()).toEqual([]);
  await isTheSameGuest();
  await nothingElseHappened();
});

test.each(sleepFinished)(
  'hostd killed while a sleep is at %s: it sleeps, holding nothing, and wakes',
  async (step) => {
    await killAt(step, sleep);
    expect(await info()).toMatchObject({ status: 'sleeping', pid: null });
    expect(await snapshots()).toEqual(['delta']);
    expect(await leftSince(host, quiet)).toEqual([]);
    await nothingElseHappened();
    await wake();
    await isTheSameGuest();
  },
);

test.each(wakeUndone)('hostd killed while a wake is at %s: it still sleeps, and wakes', async (step) => {
  await sleep();
  const reached = await killAt(step, wake);
  const { status } = await info();
  // As above: what counts is how far the wake had come when the signal came.
  if (reached !== 'snapshot.consume') {
    expect(status).toBe((wakeUndone as readonly StepKind[]).includes(reached) ? 'sleeping' : 'running');
  }
  if (status === 'sleeping') {
    expect(await info()).toMatchObject({ pid: null });
    expect(await snapshots()).toEqual(['delta']);
    expect(await leftSince(host, quiet)).toEqual([]);
    await nothingElseHappened();
    await wake();
  }
  expect(await info()).toMatchObject({ status: 'running' });
  await isTheSameGuest();
});

test.each(wakeFinished)(
  'hostd killed while a wake is at %s: the guest is adopted and runs, its snapshot gone',
  async (step) => {
    await sleep();
    await killAt(step, wake);
    expect(await info()).toMatchObject({ status: 'running' });
    expect(await snapshots()).toEqual([]);
    await isTheSameGuest();
    await nothingElseHappened();
  },
);

test('a VMM that dies with hostd after its snapshot was used up is lost, and says so', async () => {
  await sleep();
  const from = daemon.logs().length;
  const answered = wake().catch(() => 'failed');
  await until('resuming', async () =>
    /"step":"vm.resume".*"msg":"step begins"/.test(daemon.logs().slice(from)),
  );
  await daemon.kill();
  await answered;
  const { vm } = JSON.parse(await readFile(instanceFile(host, address, 'instance.json'), 'utf8'));
  process.kill(vm.pid, 'SIGKILL');
  daemon = await host.start({ args: ['--log-level', 'trace'] });
  expect(await info()).toMatchObject({ status: 'stopped', pid: null, stop_reason: { kind: 'lost' } });
  expect(await snapshots()).toEqual([]);
  expect(await leftSince(host, quiet)).toEqual([]);
  await nothingElseHappened();
  await client.request({ type: 'StartInstance', ...address });
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: true });
});
