import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rename, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLayout, type InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, greeting, guestCount, instanceFile } from './vm-host.js';

// A data volume belongs to one VMM at a time: QEMU's lock on the file, which the kernel holds for as long as that process
// lives, whatever becomes of hostd.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
const strangers: ChildProcess[] = [];
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-volume' };

const failpoint = (): string => join(host.dir, 'failpoint');
const start = (): Promise<RunningDaemon> => host.start({ env: { MVM_FAILPOINT: `@${failpoint()}` } });

beforeAll(async () => {
  host = await createVmHost();
  hostd = await start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
}, 240_000);
afterAll(async () => {
  for (const child of strangers) child.kill('SIGKILL');
  await host.dispose();
});

const ask = (type: 'StartInstance' | 'StopInstance' | 'WarmInstance' | 'ResumeInstance' | 'WakeInstance') =>
  client.request({ type, ...address }, { timeoutMs: 60_000 });
const status = async (): Promise<string> =>
  (await client.request({ type: 'DescribeInstance', ...address })).status;
const volume = (): string => instanceFile(host, address, 'volumes', 'data.ext4');
/** Whether some process holds QEMU's lock for writing, byte 101, on a file. */
async function isLocked(path = volume()): Promise<boolean> {
  const { ino } = await stat(path);
  return new RegExp(`OFDLCK .*:${ino} (100|101) 101$`, 'm').test(await readFile('/proc/locks', 'utf8'));
}

/** Somebody else's QEMU, which opens a disk to write. */
function stranger(path = volume()): { child: ChildProcess; said: Promise<string> } {
  const drive = `if=none,id=taken,file=${path},format=raw`;
  // Only a drive that a device writes to is locked for writing.
  const device = 'virtio-blk-device,drive=taken';
  const machine = ['-M', 'microvm', '-accel', 'tcg', '-m', '16', '-nodefaults', '-display', 'none', '-S'];
  const args = [...machine, '-drive', drive, '-device', device];
  const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  strangers.push(child);
  let text = '';
  child.stderr?.on('data', (piece) => {
    text += piece;
  });
  return { child, said: once(child, 'close').then(() => text) };
}

/** While another process has a disk. */
async function withStranger(path: string, work: () => Promise<unknown>): Promise<void> {
  const { child, said } = stranger(path);
  await until('taken', () => isLocked(path));
  await work();
  child.kill('SIGKILL');
  await said;
}

/** While another process has a disk: the request is refused, and what was before is still so. */
async function isRefused(type: 'StartInstance' | 'WakeInstance'): Promise<void> {
  const before = await status();
  await withStranger(volume(), async () => {
    await expect(ask(type)).rejects.toMatchObject({ reason: 'disk.in_use', code: 'failed_precondition' });
    expect(await status()).toBe(before);
  });
}

/** hostd stops before a step of a wake; then it is meddled with, and goes on. */
async function wakeMeddled(step: string, meddle: () => Promise<void>): Promise<unknown> {
  await writeFile(failpoint(), `wake/${step}/before/stop`);
  const woken = ask('WakeInstance').then(
    () => null,
    (error: unknown) => error,
  );
  await until('stopped', async () => /\) T /.test(await readFile(`/proc/${hostd.pid}/stat`, 'utf8')), 60_000);
  try {
    await meddle();
  } finally {
    process.kill(hostd.pid, 'SIGCONT');
  }
  return await woken;
}

const sleepNow = (): Promise<unknown> =>
  client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
const counted = async (): Promise<void> => {
  const from = await guestCount(client, address);
  await until('counting on', async () => (await guestCount(client, address)) > from, 60_000);
};

async function refusesStrangers(): Promise<void> {
  expect(await isLocked()).toBe(true);
  expect(await stranger().said).toMatch(/Failed to get (shared )?"write" lock/);
}

test('while its VM runs, is paused, and outlives hostd, no other process can open the volume', async () => {
  await refusesStrangers();
  await ask('WarmInstance');
  await refusesStrangers();
  await ask('ResumeInstance');
  await hostd.kill();
  await refusesStrangers();
  hostd = await start();
  await refusesStrangers();
});

test('a disk that another process has open keeps its instance from waking and from starting, and nothing is lost', async () => {
  await sleepNow();
  // Asleep there is no VMM: what changes the volume meanwhile is found out by its time, before anything is launched.
  expect(await isLocked()).toBe(false);
  const { revision_hash } = JSON.parse(await readFile(instanceFile(host, address, 'instance.json'), 'utf8'));
  const layout = createLayout(host.stateDir, host.runDir);
  const rootfs = join(layout.revisionDir(address, `sha256:${revision_hash}`), 'rootfs.ext4');
  await isRefused('WakeInstance');
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({
    stop_reason: { kind: 'wake_failed', message: expect.stringContaining('lock') },
  });
  // Finding 8: the root file system is only read and shared, so that a lock on it keeps no instance from running.
  await withStranger(rootfs, () => ask('WakeInstance'));
  await counted();
  await ask('StopInstance');
  await isRefused('StartInstance');
  await withStranger(rootfs, () => ask('StartInstance'));
  await refusesStrangers();
});

test('it is noticed as well when QEMU’s words are lost', async () => {
  await sleepNow();
  const log = instanceFile(host, address, 'runtime', 'vmm.log');
  await rename(log, `${log}.aside`);
  await symlink('/dev/full', log);
  await isRefused('WakeInstance');
  await unlink(log);
  await rename(`${log}.aside`, log);
  await ask('WakeInstance');
  await counted();
});

test('from the moment that it is loaded the VM has its disks, before its snapshot is used up', async () => {
  await sleepNow();
  expect(await wakeMeddled('snapshot.consume', refusesStrangers)).toBeNull();
  await counted();
});

test('what writes to the volume between the check and the lock is noticed', async () => {
  await sleepNow();
  const { atimeNs, mtimeNs } = await stat(volume(), { bigint: true });
  const touch = async (ns: bigint): Promise<void> => {
    await execa('touch', [
      '-d',
      `@${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`,
      volume(),
    ]);
  };
  const error = await wakeMeddled('vm.restore', () => touch(atimeNs + 1_000_000_000n));
  expect(error).toMatchObject({ reason: 'snapshot.disk_changed' });
  expect(await status()).toBe('sleeping');
  await touch(mtimeNs);
  await ask('WakeInstance');
  await counted();
});

test('a VM that has lost its TAP, or stands still, before its snapshot is used up leaves its instance asleep', async () => {
  await sleepNow();
  const { net } = await client.request({ type: 'DescribeInstance', ...address });
  const tap = net?.tap_dev ?? '';
  const withoutTap = await wakeMeddled('snapshot.consume', async () => {
    await execa('ip', ['link', 'del', tap]);
  });
  expect(withoutTap).toMatchObject({ reason: 'vmm.tap_missing' });
  expect(await status()).toBe('sleeping');
  const stopped = await wakeMeddled('snapshot.consume', async () => {
    const { vm } = JSON.parse(await readFile(instanceFile(host, address, 'instance.json'), 'utf8'));
    process.kill(vm.pid, 'SIGSTOP');
  });
  expect(stopped).toMatchObject({ reason: 'vmm.command_timeout' });
  expect(await status()).toBe('sleeping');
  await ask('WakeInstance');
  await counted();
}, 120_000);
