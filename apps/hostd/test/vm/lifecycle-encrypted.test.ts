import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import type { HostSnapshot, RunningDaemon } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { createVmHost, greeting, instanceFile, leftSince, look } from './vm-host.js';

const MARK = 'plaintext-marker-51c0ffee';
let host: Host;
let client: HostdClient;
let guest: Guest;
let quiet: HostSnapshot;
let keyFile: string;
let hostd: RunningDaemon;
const GLOBEX_KEY = 'c3'.repeat(32);
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-locked' };

beforeAll(async () => {
  host = await createVmHost('test');
  const keysDir = join(host.dir, 'keys');
  await mkdir(keysDir, { mode: 0o700 });
  keyFile = join(keysDir, 'acme.key');
  await writeFile(keyFile, '5a'.repeat(32), { mode: 0o600 });
  hostd = await host.start({
    args: ['--tenant-keys-dir', keysDir, '--log-level', 'trace'],
    env: { MVM_TENANT_KEY_GLOBEX: GLOBEX_KEY },
  });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  guest = guestOf(host, 'tn3i3');
  quiet = await look(host);
}, 240_000);
afterAll(() => host.dispose());

const start = (): Promise<unknown> => client.request({ type: 'StartInstance', ...address });
const stop = (): Promise<unknown> => client.request({ type: 'StopInstance', ...address });
const sleep = (): Promise<unknown> =>
  client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 60_000 });
const wake = (): Promise<unknown> =>
  client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
const volume = (): string => instanceFile(host, address, 'volumes', 'data.ext4');

/** Files of the state directory in which the marker stands. */
async function filesWithMark(): Promise<string[]> {
  const found: string[] = [];
  for (const path of await readdir(host.stateDir, { recursive: true })) {
    const file = join(host.stateDir, path);
    if (path.startsWith('images/') || !(await stat(file)).isFile()) continue;
    if ((await readFile(file)).includes(MARK)) found.push(path);
  }
  return found;
}

test('what a guest writes survives stop, start, sleep and wake, and is nowhere in plain text', async () => {
  await start();
  const first = await greeting(client, address);
  await guest.output(`echo ${MARK} >/data/mark; head -c 4000000 /dev/urandom >/data/noise; sync`);
  const sum = await guest.output('sha256sum </data/noise');
  expect((await readFile(volume())).subarray(0, 6).toString('hex')).toBe('4c554b53babe');
  const { pid } = await client.request({ type: 'DescribeInstance', ...address });
  expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('5a5a');
  // Exclusive while the VM has it: QEMU's own lock, which outlives hostd.
  const { ino } = await stat(volume());
  expect(await readFile('/proc/locks', 'utf8')).toMatch(new RegExp(`OFDLCK .*:${ino} `));
  await sleep();
  expect(await leftSince(host, quiet)).toEqual([]);
  expect(await filesWithMark()).toEqual([]);
  await wake();
  expect(await guest.output('cat /data/mark')).toBe(MARK);
  await guest.output('echo more >>/data/mark; sync');
  await stop();
  expect(await leftSince(host, quiet)).toEqual([]);
  await start();
  expect(await greeting(client, address, first.length)).not.toBe(first);
  expect(await guest.output('cat /data/mark')).toBe(`${MARK}\nmore`);
  expect(await guest.output('sha256sum </data/noise')).toBe(sum);
  expect(await guest.output('dmesg | grep -ci "ext4-fs error" || true')).toBe('0');
  await stop();
  expect(await filesWithMark()).toEqual([]);
});

test('without its key, or with another, it neither starts nor wakes, and the volume is untouched', async () => {
  const before = await stat(volume(), { bigint: true });
  await rename(keyFile, `${keyFile}.away`);
  await expect(start()).rejects.toMatchObject({ reason: 'disk.key_missing' });
  await writeFile(keyFile, 'a5'.repeat(32), { mode: 0o600 });
  await expect(start()).rejects.toMatchObject({ reason: 'disk.other_key', retry: 'after-change' });
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({ status: 'stopped' });
  expect((await stat(volume(), { bigint: true })).mtimeNs).toBe(before.mtimeNs);
  expect(await leftSince(host, quiet)).toEqual([]);
  await rename(`${keyFile}.away`, keyFile);
  await start();
  await greeting(client, address);
  await sleep();
  await rename(keyFile, `${keyFile}.away`);
  await expect(wake()).rejects.toMatchObject({ code: 'failed_precondition' });
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({
    status: 'sleeping',
  });
  await rename(`${keyFile}.away`, keyFile);
  await wake();
  expect(await guest.output('head -n 1 /data/mark')).toBe(MARK);
});

test('an instance that began unencrypted stays so, and another begins encrypted', async () => {
  await rename(keyFile, `${keyFile}.away`);
  const plain = { ...address, instance_id: 'i-plain' };
  await client.request({ type: 'CreateInstance', ...plain });
  await client.request({ type: 'StartInstance', ...plain });
  await client.request({ type: 'StopInstance', ...plain });
  await rename(`${keyFile}.away`, keyFile);
  await client.request({ type: 'StartInstance', ...plain });
  await greeting(client, plain);
  const path = instanceFile(host, plain, 'volumes', 'data.ext4');
  expect((await readFile(path)).readUInt16LE(1024 + 0x38)).toBe(0xef53);
  expect(JSON.parse(await readFile(instanceFile(host, plain, 'instance.json'), 'utf8'))).toMatchObject({
    data_disk_cipher: 'none',
  });
  for (const each of [plain, address]) {
    await client.request({ type: 'DestroyInstance', ...each, wipe_volumes: true }, { timeoutMs: 60_000 });
  }
});

test('a key out of hostd’s environment encrypts, and is in no log, argument or environment of another process', async () => {
  await ensureTenantAndPool(client, 'globex', 4);
  const other = { tenant_id: 'globex', pool_id: 'workers', instance_id: 'i-env' };
  await client.request({ type: 'CreateInstance', ...other });
  await client.request({ type: 'StartInstance', ...other });
  const { pid } = await client.request({ type: 'DescribeInstance', ...other });
  const disk = await readFile(instanceFile(host, other, 'volumes', 'data.ext4'));
  expect(disk.subarray(0, 6).toString('hex')).toBe('4c554b53babe');
  const places = [hostd.logs()];
  for (const what of ['cmdline', 'environ']) places.push(await readFile(`/proc/${pid}/${what}`, 'latin1'));
  // Programs that hostd keeps ready: they have its environment.
  const children = await readFile(`/proc/${hostd.pid}/task/${hostd.pid}/children`, 'utf8');
  expect(children.trim().split(' ').length).toBeGreaterThan(1);
  for (const child of children.trim().split(' ')) {
    places.push(await readFile(`/proc/${child}/environ`, 'latin1').catch(() => ''));
  }
  const { stateDir } = host;
  for (const file of ['tenants/globex/audit.log', 'tenants/globex/tenant.json']) {
    places.push(await readFile(join(stateDir, file), 'latin1'));
  }
  places.push(await readFile(`/proc/${hostd.pid}/cmdline`, 'latin1'));
  for (const place of places) expect(place).not.toMatch(/MVM_TENANT_KEY|c3c3c3c3/i);
  expect(places[2]).toContain('PATH=');
  await client.request({ type: 'StopInstance', ...other });
});
