import { mkdir, open, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type HostSnapshot, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from './vm-host.js';

let host: Host;
let client: HostdClient;
let quiet: HostSnapshot;
let keysDir: string;
let wrapper: string;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-sleepy' };

/** A script that is QEMU, but may tell a version of its own. */
function wrapperSaying(version: string | null): string {
  const says =
    version === null ? '' : `[ "$1" = --version ] && exec echo "QEMU emulator version ${version}"\n`;
  return `#!/bin/sh\n${says}exec qemu-system-x86_64 "$@"\n`;
}

beforeAll(async () => {
  host = await createVmHost();
  keysDir = join(host.dir, 'keys');
  await mkdir(keysDir, { mode: 0o700 });
  wrapper = join(host.dir, 'qemu');
  await writeFile(wrapper, wrapperSaying(null), { mode: 0o755 });
  await host.start({ args: ['--tenant-keys-dir', keysDir, '--qemu-binary', wrapper] });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  quiet = await look(host);
}, 240_000);
afterAll(() => host.dispose());

const info = (): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...address });
const sleep = (force = false, drain_timeout_secs: number | null = null): Promise<unknown> =>
  client.request({ type: 'SleepInstance', ...address, force, drain_timeout_secs }, { timeoutMs: 60_000 });
const wake = (): Promise<unknown> =>
  client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 40_000 });
const snapshots = (): Promise<string[]> => readdir(instanceFile(host, address, 'snapshots'));

async function setCompression(snapshot_compression: 'none' | 'lz4' | 'zstd'): Promise<void> {
  const { tenant_id, pool_id } = address;
  await client.request({ type: 'EnsurePool', tenant_id, pool_id, spec: poolSpec({ snapshot_compression }) });
}

async function consoleText(): Promise<string> {
  const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address });
  return Buffer.from(data_base64, 'base64').toString();
}

test('a guest sleeps and wakes: the same boot, counting on, with the time of now; asleep, it holds nothing', async () => {
  await client.request({ type: 'StartInstance', ...address });
  const hello = await greeting(client, address);
  await until('counting', async () => (await guestCount(client, address)) >= 1, 60_000);
  const before = await info();
  await until('the agent', async () => (await info()).agent_connected === true);
  for (const compression of ['none', 'lz4', 'zstd'] as const) {
    await setCompression(compression);
    await sleep();
    expect(await info()).toMatchObject({
      ...{ status: 'sleeping', pid: null, runtime: null, agent_connected: null },
      status_since: (await info()).last_stopped_at,
    });
    expect(await leftSince(host, quiet)).toEqual([]);
    expect(await snapshots()).toEqual(['delta']);
    const counted = await guestCount(client, address);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await wake();
    const woken = Date.now() / 1000;
    expect(await info()).toMatchObject({
      status: 'running',
      net: before.net,
      runtime: { uid: before.runtime?.uid },
    });
    // Used up: there is nothing left that could be restored a second time.
    expect(await snapshots()).toEqual([]);
    await until('counting on', async () => (await guestCount(client, address)) > counted, 60_000);
    const awake = [...(await consoleText()).matchAll(/mvm-guest awake time=(\d+)/g)].at(-1);
    expect(Math.abs(Number(awake?.[1]) - woken)).toBeLessThan(3);
  }
  expect(await greeting(client, address)).toBe(hello);
  expect((await consoleText()).match(/mvm-guest ready/g)).toHaveLength(1);
  await client.request({ type: 'StopInstance', ...address });
  expect(await leftSince(host, quiet)).toEqual([]);
});

test('a tenant with a key sleeps sealed; without its key, or with another, it does not wake and loses nothing', async () => {
  await setCompression('lz4');
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  const keyFile = join(keysDir, 'acme.key');
  await writeFile(keyFile, `${'5a'.repeat(32)}\n`, { mode: 0o600 });
  await sleep();
  const memory = await readFile(instanceFile(host, address, 'snapshots', 'delta', 'memory'));
  expect(memory.subarray(0, 8).toString()).toBe('MVMSEAL1');
  expect(memory.includes('mvm-guest')).toBe(false);
  await rename(keyFile, `${keyFile}.away`);
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.key_missing' });
  await writeFile(keyFile, 'a5'.repeat(32), { mode: 0o600 });
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.unseal_failed' });
  await writeFile(keyFile, 'not a key', { mode: 0o600 });
  await expect(wake()).rejects.toMatchObject({ reason: 'tenant.bad_key' });
  expect(await info()).toMatchObject({ status: 'sleeping', pid: null });
  expect(await leftSince(host, quiet)).toEqual([]);
  await rename(`${keyFile}.away`, keyFile);
  await wake();
  await rename(keyFile, `${keyFile}.away`);
  expect(await info()).toMatchObject({ status: 'running' });
  await client.request({ type: 'StopInstance', ...address });
});

test('a damaged snapshot, or a disk that moved on, is refused with a reason and kept; a stop discards it', async () => {
  await setCompression('none');
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  await sleep(true);
  const path = instanceFile(host, address, 'snapshots', 'delta', 'memory');
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, size >> 1);
  await file.write(Buffer.from([byte.readUInt8(0) ^ 255]), 0, 1, size >> 1);
  await expect(wake()).rejects.toMatchObject({
    reason: 'snapshot.damaged',
    message: expect.stringMatching(/^wake failed: /),
  });
  expect(await info()).toMatchObject({
    status: 'sleeping',
    stop_reason: { kind: 'wake_failed', message: expect.stringContaining('checksum') },
  });
  await file.write(byte, 0, 1, size >> 1);
  await file.close();
  const disk = await open(instanceFile(host, address, 'volumes', 'data.ext4'), 'r+');
  const { atime, mtime } = await disk.stat();
  await disk.utimes(new Date(), new Date());
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.disk_changed' });
  expect(await info()).toMatchObject({ status: 'sleeping' });
  expect((await stat(path)).size).toBe(size);
  expect(await leftSince(host, quiet)).toEqual([]);
  await disk.utimes(atime, mtime);
  await disk.close();
  await client.request({ type: 'StopInstance', ...address });
  expect(await snapshots()).toEqual([]);
  await expect(wake()).rejects.toMatchObject({ reason: 'instance.invalid_transition' });
  expect(await leftSince(host, quiet)).toEqual([]);
});

test('a snapshot of another version is refused, before or after QEMU has said what it is', async () => {
  await setCompression('none');
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  await sleep(true);
  const manifestPath = instanceFile(host, address, 'snapshots', 'delta', 'meta.json');
  const written = await readFile(manifestPath, 'utf8');
  const asVersion = (vmm_version: string): Promise<void> =>
    writeFile(manifestPath, JSON.stringify({ ...JSON.parse(written), vmm_version }));
  await asVersion('99.0.0');
  await expect(wake()).rejects.toMatchObject({
    reason: 'snapshot.other_version',
    details: { snapshot: '99.0.0', host: JSON.parse(written).vmm_version },
  });
  // A program that says one thing and starts another, as a wrapper may.
  await writeFile(wrapper, wrapperSaying('99.0.0'));
  await expect(wake()).rejects.toMatchObject({
    reason: 'snapshot.other_version',
    details: { snapshot: '99.0.0', host: JSON.parse(written).vmm_version },
  });
  expect(await info()).toMatchObject({ status: 'sleeping', stop_reason: { kind: 'wake_failed' } });
  expect(await leftSince(host, quiet)).toEqual([]);
  await writeFile(wrapper, wrapperSaying(null));
  await writeFile(manifestPath, written);
  await wake();
  await client.request({ type: 'StopInstance', ...address });
});

test('warm keeps the memory in place, and sleep takes it from there', async () => {
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  const { pid } = await info();
  await client.request({ type: 'WarmInstance', ...address });
  expect(await info()).toMatchObject({ status: 'warm', pid });
  await expect(client.request({ type: 'WarmInstance', ...address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });
  await client.request({ type: 'ResumeInstance', ...address });
  expect(await info()).toMatchObject({ status: 'running', pid });
  const counted = await guestCount(client, address);
  await until('counting on', async () => (await guestCount(client, address)) > counted, 60_000);
  await client.request({ type: 'WarmInstance', ...address });
  await sleep();
  await wake();
  expect(await info()).toMatchObject({ status: 'running' });
  await client.request({ type: 'StopInstance', ...address });
});

test('a sleep that waits for its guest is overtaken by a stop and by a wake', async () => {
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  // Frozen from outside, the guest cannot answer: the drain would take as long as it may.
  const { pid } = await info();
  process.kill(pid as number, 'SIGSTOP');
  const first = sleep(false, 600).then(
    () => null,
    (error: unknown) => error,
  );
  await until('draining', async () => (await info()).operation === 'sleep');
  process.kill(pid as number, 'SIGCONT');
  const woken = wake();
  // Which of the two comes first is the guest's to say: it may have answered in the very moment.
  const error = await first;
  await woken;
  if (error !== null) expect(error).toMatchObject({ code: 'aborted', reason: 'instance.sleep_overtaken' });
  expect(await info()).toMatchObject({ status: 'running' });
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: true });
  expect((await leftSince(host, quiet)).filter(({ kind }) => kind !== 'files')).toEqual([]);
});
