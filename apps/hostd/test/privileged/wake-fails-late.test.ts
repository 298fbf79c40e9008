import { cpSync, existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';

// A wake that fails when its snapshot is used up already, or about to be: memory is lost only when the guest may have run,
// and a guest that runs is not ended.

let one: OneInstance;
let bootId: string;

beforeEach(async () => {
  one = await createOneInstance();
  bootId = (await one.vm()).boot;
  await one.client.request({ type: 'SleepInstance', ...one.address, force: true });
}, 60_000);
afterEach(() => one.dispose());

const wake = (): Promise<unknown> => one.client.request({ type: 'WakeInstance', ...one.address });
const snapshot = (name: 'delta' | 'delta.used'): boolean =>
  existsSync(join(one.layout.snapshotsDir(one.address), name));

/** It sleeps as if no wake had been tried, and wakes: the same boot. */
async function sleepsOn(): Promise<void> {
  expect(await one.described()).toMatchObject({ status: 'sleeping', pid: null });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([true, false]);
  expect(existsSync(one.layout.vmSocketDir(one.vmId))).toBe(false);
  expect(existsSync(one.layout.journal(one.address))).toBe(false);
  one.faultOf = () => null;
  await wake();
  expect(await one.vm()).toMatchObject({ running: true, boot: bootId });
  expect((await one.described()).stop_reason).toBeNull();
  // The fake VMM tells what ran twice, and what was loaded over a disk that had moved on.
  expect(readFileSync(join(one.host.dir, 'execution-log'), 'utf8')).not.toContain('torn');
}

/** A wake whose guest runs, which cannot be recorded. */
async function wakeUnrecorded(): Promise<void> {
  one.faultOf = (call) => {
    if (call === 'resume') one.blockRecord();
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'state.io_error' });
  one.unblockRecord();
  one.faultOf = () => null;
}

test('a guest that its VMM does not let run sleeps on, and says why', async () => {
  one.faultOf = (call) => (call === 'resume' ? 'fail' : null);
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.not_resumed', code: 'failed_precondition' });
  expect((await one.described()).stop_reason).toMatchObject({ kind: 'wake_failed' });
  await sleepsOn();
});

test('one that may have run is lost', async () => {
  one.faultOf = (call) => (call === 'resume' ? 'fail-done' : null);
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.command_failed' });
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('so is one that is said not to have run, and whose disk has changed', async () => {
  one.faultOf = (call) => {
    if (call === 'resume') utimesSync(one.layout.dataDisk(one.address), 1, 1);
    return call === 'resume' ? 'fail' : null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.not_resumed' });
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('a used snapshot of before is not taken for the one that is used up now', async () => {
  const committed = join(one.layout.snapshotsDir(one.address), 'delta');
  cpSync(committed, `${committed}.used`, { recursive: true });
  one.faultOf = (call) => {
    if (call === 'pause') rmSync(committed, { recursive: true });
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.missing' });
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'lost' } });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
});

test('a wake that could neither be done nor undone, before its commit point, keeps the snapshot', async () => {
  one.faultOf = (call) => {
    if (call === 'pause') one.blockRecord();
    return call === 'pause' ? 'fail' : null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'vmm.command_failed' });
  one.unblockRecord();
  expect(snapshot('delta')).toBe(true);
  one.faultOf = () => null;
  // Whatever is asked for next, the wake is undone first.
  await expect(one.client.request({ type: 'StartInstance', ...one.address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });
  await sleepsOn();
});

test('a guest that runs is not ended because that cannot be recorded; the next request records it', async () => {
  await wakeUnrecorded();
  const { count } = await one.vm();
  await until('it counts on', async () => (await one.vm()).count > count);
  await expect(wake()).rejects.toMatchObject({ reason: 'instance.invalid_transition' });
  expect(await one.described()).toMatchObject({ status: 'running' });
  expect(await one.vm()).toMatchObject({ running: true, boot: bootId });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
  expect(existsSync(one.layout.journal(one.address))).toBe(false);
});

test('a forced stop ends it, and is what is recorded', async () => {
  await wakeUnrecorded();
  const { pid } = await one.described();
  await one.client.request({ type: 'StopInstance', ...one.address, force: true });
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'requested' } });
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
  expect(existsSync(one.layout.journal(one.address))).toBe(false);
  expect(readFileSync(one.layout.auditLog('acme'), 'utf8')).not.toContain('vm_exited');
  await one.client.request({ type: 'StartInstance', ...one.address });
});

test('and when it has ended meanwhile, it is recorded as lost', async () => {
  await wakeUnrecorded();
  const pid = (await one.described()).pid as number;
  process.kill(pid, 'SIGKILL');
  // This process is its parent: once it is waited for, hostd knows. Until then it may look alive and answer nobody.
  await until('it is gone', () => !existsSync(`/proc/${pid}`));
  await one.client.request({ type: 'StartInstance', ...one.address });
  expect(await one.described()).toMatchObject({ status: 'running' });
});

test('a wake goes on though its progress cannot be recorded', async () => {
  one.faultOf = (call) => {
    if (call === 'restore') rmSync(one.layout.journal(one.address));
    return null;
  };
  await wake();
  expect(await one.vm()).toMatchObject({ running: true, boot: bootId });
});

test('a guest that runs from memory that is not the one that was written is ended', async () => {
  const memory = join(one.layout.snapshotsDir(one.address), 'delta.used', 'memory');
  one.faultOf = (call) => {
    // Loaded already, and not checked yet.
    if (call === 'resume') flipFirstByte(memory);
    return null;
  };
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.damaged' });
  expect(await one.described()).toMatchObject({
    ...{ status: 'stopped', pid: null },
    stop_reason: { kind: 'lost', message: expect.stringContaining('checksum') },
  });
  expect([snapshot('delta'), snapshot('delta.used')]).toEqual([false, false]);
  expect(existsSync(one.layout.vmSocketDir(one.vmId))).toBe(false);
});

function flipFirstByte(path: string): void {
  const bytes = readFileSync(path);
  bytes[0] = (bytes[0] ?? 0) ^ 255;
  writeFileSync(path, bytes);
}
