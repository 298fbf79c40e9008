import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import type { HostdClient } from '@mvm/hostd-client';
import type { RunningDaemon } from '@mvm/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import { createVmHost, greeting, instanceFile } from './vm-host.js';

// A data volume belongs to one VMM at a time: QEMU's lock on the file, which the kernel holds for as long as that process
// lives, whatever becomes of hostd.

let host: TestHost;
let hostd: RunningDaemon;
let client: HostdClient;
const strangers: ChildProcess[] = [];
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-volume' };

beforeAll(async () => {
  host = await createVmHost();
  hostd = await host.start();
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
/** Whether some process holds a lock on the volume. */
async function isLocked(): Promise<boolean> {
  const { ino } = await stat(volume());
  return new RegExp(`OFDLCK .*:${ino} `).test(await readFile('/proc/locks', 'utf8'));
}

/** Somebody else's QEMU, which opens the volume to write. */
function stranger(): { child: ChildProcess; said: Promise<string> } {
  const drive = `if=none,id=taken,file=${volume()},format=raw`;
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

async function refusesStrangers(): Promise<void> {
  expect(await isLocked()).toBe(true);
  expect(await stranger().said).toContain('Failed to get "write" lock');
}

test('while its VM runs, is paused, and outlives hostd, nobody else opens the volume', async () => {
  await refusesStrangers();
  await ask('WarmInstance');
  await refusesStrangers();
  await ask('ResumeInstance');
  await hostd.kill();
  await refusesStrangers();
  hostd = await host.start();
  await refusesStrangers();
});

test('a volume that somebody else has open keeps its instance from waking and from starting, and nothing is lost', async () => {
  await client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
  // Asleep there is no VMM: what changes the volume meanwhile is found out by its time, before anything is launched.
  expect(await isLocked()).toBe(false);
  const first = stranger();
  await until('taken', isLocked);
  await expect(ask('WakeInstance')).rejects.toMatchObject({ reason: 'disk.in_use' });
  expect(await status()).toBe('sleeping');
  first.child.kill('SIGKILL');
  await first.said;
  await ask('WakeInstance');
  await refusesStrangers();
  await ask('StopInstance');
  const second = stranger();
  await until('taken', isLocked);
  await expect(ask('StartInstance')).rejects.toMatchObject({ reason: 'disk.in_use' });
  expect(await status()).toBe('stopped');
  second.child.kill('SIGKILL');
  await second.said;
  await ask('StartInstance');
  await refusesStrangers();
});
