import {
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type HostSnapshot, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from './vm-host.js';

// A guest whose memory lies in a file of its own while it sleeps, and is mapped from there when it wakes.

const RESOURCES = { vcpus: 1, mem_mib: 256, data_disk_mib: 32 };
const SIZE = RESOURCES.mem_mib * 2 ** 20;
const FILL_MIB = 30;

let host: Host;
let client: HostdClient;
let quiet: HostSnapshot;
let guest: Guest;
let keyFile: string;
let sums: string;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-mapped' };

beforeAll(async () => {
  host = await createVmHost('test');
  keyFile = join(host.dir, 'keys', 'acme.key');
  await mkdir(join(host.dir, 'keys'), { mode: 0o700 });
  await host.start({ args: ['--tenant-keys-dir', join(host.dir, 'keys')] });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3, { spec: { instance_resources: RESOURCES } });
  await client.request({ type: 'CreateInstance', ...address });
  quiet = await look(host);
  await start();
}, 240_000);
afterAll(() => host.dispose());

const info = (): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...address });
const sleep = (): Promise<unknown> =>
  client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 120_000 });
const wake = (): Promise<unknown> =>
  client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 120_000 });
const delta = (name: string): string => instanceFile(host, address, 'snapshots', 'delta', name);
const manifest = async (): Promise<{ parts: { name: string; image?: object; stored_bytes: number }[] }> =>
  JSON.parse(await readFile(delta('meta.json'), 'utf8'));
const partNames = async (): Promise<string[]> => (await manifest()).parts.map(({ name }) => name);

/** Boots it, and fills a part of its memory with what nothing else has. */
async function start(): Promise<void> {
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  guest = guestOf(host, (await info()).net?.tap_dev ?? '');
  await guest.output(
    `mkdir -p /run/p; mount -t tmpfs -o size=${FILL_MIB + 20}m tmpfs /run/p
    head -c ${FILL_MIB * 2 ** 20} /dev/urandom >/run/p/a`,
    60,
  );
  sums = await guest.output('md5sum /run/p/*', 60);
}

/** QEMU's arguments, those of a guest that runs. */
async function vmmArguments(): Promise<string[]> {
  const { pid } = await info();
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
}

/** The file as the manifest tells of it now, so that a change is not noticed by its times. */
async function describeAsUntouched(): Promise<void> {
  const { ino, mtimeNs, ctimeNs } = await stat(delta('memory'), { bigint: true });
  const described = await manifest();
  const image = { inode: String(ino), mtime_ns: String(mtimeNs), ctime_ns: String(ctimeNs) };
  for (const part of described.parts) if (part.image !== undefined) part.image = image;
  await writeFile(delta('meta.json'), JSON.stringify(described));
}

async function flipByte(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.from([byte.readUInt8(0) ^ 255]), 0, 1, at);
  await file.close();
}

test('memory is what it was after each of several sleeps and wakes, of a booted guest and of one that is mapped', async () => {
  const hello = await greeting(client, address);
  for (const round of [1, 2, 3]) {
    await sleep();
    expect(await partNames()).toEqual(['devices', 'firmware', 'memory']);
    const { size, blocks } = await stat(delta('memory'));
    expect(size).toBe(SIZE);
    // Zeros take no room.
    expect(blocks * 512).toBeLessThan(SIZE * 0.95);
    expect((await stat(delta('devices'))).size).toBeLessThan(2 ** 21);
    expect(await leftSince(host, quiet)).toEqual([]);
    const counted = await guestCount(client, address);
    await wake();
    expect(await vmmArguments()).toContain('-mem-path');
    expect(await readdir(instanceFile(host, address, 'snapshots'))).toEqual([]);
    expect(await guest.output('md5sum /run/p/*', 60)).toBe(sums);
    await until('counting on', async () => (await guestCount(client, address)) > counted, 60_000);
    // Some of it is the process's own then, some is still the file's.
    await guest.output(`head -c 3000000 /dev/urandom >/run/p/b${round}; sync`, 60);
    sums = await guest.output('md5sum /run/p/*', 60);
  }
  expect(await greeting(client, address)).toBe(hello);
}, 600_000);

test('a guest that is mapped goes to sleep compressed or sealed as any, in one stream, and the other way round', async () => {
  const setCompression = async (snapshot_compression: 'none' | 'lz4'): Promise<void> => {
    const spec = poolSpec({ instance_resources: RESOURCES, snapshot_compression });
    const { tenant_id, pool_id } = address;
    await client.request({ type: 'EnsurePool', tenant_id, pool_id, spec });
  };
  await setCompression('lz4');
  await sleep();
  expect(await partNames()).toEqual(['memory']);
  await wake();
  expect(await vmmArguments()).not.toContain('-mem-path');
  expect(await guest.output('md5sum /run/p/*', 60)).toBe(sums);
  await setCompression('none');
  await sleep();
  expect(await partNames()).toEqual(['devices', 'firmware', 'memory']);
  await wake();
  await writeFile(keyFile, '5a'.repeat(32), { mode: 0o600 });
  await sleep();
  expect(await partNames()).toEqual(['memory']);
  expect((await readFile(delta('memory'))).subarray(0, 8).toString()).toBe('MVMSEAL1');
  await wake();
  await rm(keyFile);
  expect(await guest.output('md5sum /run/p/*', 60)).toBe(sums);
}, 600_000);

test('most of its memory can be written to, within its limit', async () => {
  await sleep();
  await wake();
  await guest.output(
    `rm /run/p/b*; mount -o remount,size=115m /run/p; head -c ${110 * 2 ** 20} /dev/zero >/run/p/a`,
    60,
  );
  sums = await guest.output('md5sum /run/p/*', 60);
  await sleep();
  await wake();
  expect(await guest.output('md5sum /run/p/*', 60)).toBe(sums);
}, 600_000);

test('a file that is cut, or another one, is refused, and the instance sleeps on; a copy wakes', async () => {
  await sleep();
  const kept = delta('kept');
  await copyFile(delta('memory'), kept);
  const refused = async (reason: string): Promise<void> => {
    await expect(wake()).rejects.toMatchObject({ reason });
    expect(await info()).toMatchObject({ status: 'sleeping', stop_reason: { kind: 'wake_failed' } });
    expect(await leftSince(host, quiet)).toEqual([]);
  };
  await truncate(delta('memory'), SIZE - 4096);
  await refused('snapshot.damaged');
  // As large, and empty.
  await truncate(delta('memory'), 0);
  await truncate(delta('memory'), SIZE);
  await refused('snapshot.damaged');
  await rm(delta('memory'));
  await refused('snapshot.damaged');
  await copyFile(kept, delta('memory'));
  await flipByte(delta('devices'), 5000);
  await describeAsUntouched();
  await refused('snapshot.damaged');
  await flipByte(delta('devices'), 5000);
  // It is another file than the one that was written: it is read before the guest runs, and is good.
  await rm(delta('memory'));
  await rename(kept, delta('memory'));
  await wake();
  expect(await guest.output('md5sum /run/p/*', 60)).toBe(sums);
}, 600_000);

test('a guest that runs from damaged memory is ended, and its instance says why', async () => {
  await sleep();
  await flipByte(delta('memory'), SIZE / 2);
  await describeAsUntouched();
  await expect(wake()).rejects.toMatchObject({ reason: 'snapshot.damaged' });
  expect(await info()).toMatchObject({
    ...{ status: 'stopped', pid: null },
    stop_reason: { kind: 'lost', message: expect.stringContaining('checksum') },
  });
  expect(await readdir(instanceFile(host, address, 'snapshots'))).toEqual([]);
  expect(await leftSince(host, quiet)).toEqual([]);
}, 600_000);

test('a guest that still boots boots on: its firmware’s memory is kept as well', async () => {
  if ((await info()).status !== 'stopped') await client.request({ type: 'StopInstance', ...address });
  const { size } = await stat(instanceFile(host, address, 'runtime', 'console.log'));
  await client.request({ type: 'StartInstance', ...address });
  for (let round = 0; round < 3; round += 1) {
    await sleep();
    await wake();
  }
  await greeting(client, address, size);
}, 600_000);
