import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLayout, type InstanceAddress, type Layout } from '../../src/state/layout.js';
import { createTestHost, ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import { askVm, type GuestNow } from '../model/machines.js';
import type { Fault, VmmCall } from '../stand-in/driver.js';
import { type InProcessHostd, startInProcess } from '../stand-in/in-process.js';

// A wake that fails when its snapshot is used up already, or about to be: memory is lost only when the guest may have run,
// and a guest that runs is not ended.

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
let host: TestHost;
let hostd: InProcessHostd;
let client: HostdClient;
let layout: Layout;
let vmId: string;
let bootId: string;
let faultOf: (call: VmmCall) => Fault | null;

beforeEach(async () => {
  await execa('ip', ['link', 'set', 'lo', 'up']);
  host = await createTestHost();
  layout = createLayout(host.stateDir, host.runDir);
  faultOf = () => null;
  hostd = await startInProcess(host, { faultOf: (call) => faultOf(call) });
  client = host.client();
  await hostd.registerImage('demo');
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  vmId = (await described()).net?.tap_dev ?? '';
  bootId = (await vm()).boot;
  await client.request({ type: 'SleepInstance', ...address, force: true });
}, 60_000);
afterEach(async () => {
  faultOf = () => null;
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  await client.close();
  await hostd.close();
  await host.dispose();
});

const described = () => client.request({ type: 'DescribeInstance', ...address });
const vm = (): Promise<GuestNow> => askVm(join(layout.vmSocketDir(vmId), 'control.sock'));
const wake = (): Promise<unknown> => client.request({ type: 'WakeInstance', ...address });
const snapshot = (name: 'delta' | 'delta.used'): boolean =>
  existsSync(join(layout.snapshotsDir(address), name));
const record = (): string => layout.instanceRecord(address);

function blockRecord(): void {
  renameSync(record(), `${record()}.aside`);
  mkdirSync(join(record(), 'in-the-way'), { recursive: true });
}
function unblockRecord(): void {
  rmSync(record(), { recursive: true });
  renameSync(`${record()}.aside`, record());
}

/** It sleeps as if nobody had tried to wake it, and wakes: the same boot. */
async function sleepsOn(): Promise<void> {
  expect(await described()).toMatchObject({ status: 'sleeping', pid: null });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([true, false]);
  expect(existsSync(layout.vmSocketDir(vmId))).toBe(false);
  expect(existsSync(layout.journal(address))).toBe(false);
  faultOf = () => null;
  await wake();
  expect(await vm()).toMatchObject({ running: true, boot: bootId });
  expect((await described()).stop_reason).toBeNull();
  // The stand-in tells what ran twice, and what was loaded over a disk that had moved on.
  expect(readFileSync(join(host.dir, 'witness'), 'utf8')).not.toContain('torn');
}

test('a guest that its VMM does not let run sleeps on, and says why', async () => {
  faultOf = (call) => (call === 'resume' ? 'fail' : null);
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.not_resumed', code: 'failed_precondition' });
  expect((await described()).stop_reason).toMatchObject({ kind: 'wake_failed' });
  await sleepsOn();
});

test('one that may have run is lost', async () => {
  faultOf = (call) => (call === 'resume' ? 'fail-done' : null);
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.command_failed' });
  expect(await described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('so is one that is said not to have run, and whose disk has changed', async () => {
  faultOf = (call) => {
    if (call === 'resume') utimesSync(layout.dataDisk(address), 1, 1);
    return call === 'resume' ? 'fail' : null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.not_resumed' });
  expect(await described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('a used snapshot of before is not taken for the one that is used up now', async () => {
  const committed = join(layout.snapshotsDir(address), 'delta');
  cpSync(committed, `${committed}.used`, { recursive: true });
  faultOf = (call) => {
    if (call === 'pause') rmSync(committed, { recursive: true });
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.missing' });
  expect(await described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('a wake that could neither be done nor undone, before its commit point, keeps the snapshot', async () => {
  faultOf = (call) => {
    if (call === 'pause') blockRecord();
    return call === 'pause' ? 'fail' : null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.command_failed' });
  unblockRecord();
  expect(snapshot('delta')).toBe(true);
  faultOf = () => null;
  // Whatever is asked for next, the wake is undone first.
  await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });
  await sleepsOn();
});

test('a guest that runs is not ended because that cannot be recorded; the next request records it', async () => {
  faultOf = (call) => {
    if (call === 'resume') blockRecord();
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'state.io_error' });
  unblockRecord();
  faultOf = () => null;
  const { count } = await vm();
  await until('it counts on', async () => (await vm()).count > count);
  await expect(wake()).rejects.toMatchObject({ reason: 'instance.invalid_transition' });
  expect(await described()).toMatchObject({ status: 'running' });
  expect(await vm()).toMatchObject({ running: true, boot: bootId });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
  expect(existsSync(layout.journal(address))).toBe(false);
});

test('and when it has ended meanwhile, it is recorded as lost', async () => {
  faultOf = (call) => {
    if (call === 'resume') blockRecord();
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'state.io_error' });
  unblockRecord();
  faultOf = () => null;
  const pid = (await described()).pid as number;
  process.kill(pid, 'SIGKILL');
  await until('it is gone', () => !existsSync(`/proc/${pid}/exe`));
  await client.request({ type: 'StartInstance', ...address });
  expect(await described()).toMatchObject({ status: 'running' });
});

test('a wake goes on though nobody can be told how far it has come', async () => {
  faultOf = (call) => {
    if (call === 'restore') rmSync(layout.journal(address));
    return null;
  };
  await wake();
  expect(await vm()).toMatchObject({ running: true, boot: bootId });
});
