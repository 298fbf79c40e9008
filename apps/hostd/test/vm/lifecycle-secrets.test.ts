import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { changeSecrets, secretsPath } from '@mvm/secrets-store';
import { type HostSnapshot, type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { createVmHost, greeting, instanceFile, leftSince, look } from './vm-host.js';

const FIRST = 'hunter2-first-7f3a';
const SECOND = 'hunter2-second-9c1e';
const OTHER = 'hunter2-not-for-this-pool';
const VM = 'tn3i3';
let host: Host;
let daemon: RunningDaemon;
let client: HostdClient;
let guest: Guest;
let quiet: HostSnapshot;
let keysDir: string;
let said = '';
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-secret' };

beforeAll(async () => {
  host = await createVmHost('test');
  keysDir = join(host.dir, 'keys');
  await mkdir(keysDir, { mode: 0o700 });
  await writeFile(join(keysDir, 'acme.key'), '5a'.repeat(32), { mode: 0o600 });
  await mkdir(host.runDir, { mode: 0o755 });
  await restart();
  await ensureTenantAndPool(client, 'acme', 3, {
    spec: {
      secret_scopes: ['token', 'db.*'],
      instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 },
    },
  });
  await client.request({ type: 'CreateInstance', ...address });
  guest = guestOf(host, VM);
}, 240_000);
afterAll(async () => {
  execFileSync('umount', ['--lazy', host.runDir]);
  await host.dispose();
});

async function restart(env: Record<string, string> = {}): Promise<void> {
  daemon = await host.start({ args: ['--tenant-keys-dir', keysDir], env });
  client = host.client();
}

const info = (): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...address });
const start = (): Promise<unknown> => client.request({ type: 'StartInstance', ...address });
const set = (secrets: Record<string, string>): Promise<void> =>
  changeSecrets(secretsPath(host.stateDir, 'acme'), (kept) => {
    kept.clear();
    for (const [name, value] of Object.entries(secrets)) kept.set(name, value);
  });
const drives = async (): Promise<string[]> =>
  (await readdir(host.runDir, { recursive: true })).filter((path) => path.includes('secrets'));
const epochs = async (): Promise<number[]> =>
  Promise.all(
    [instanceFile(host, address, 'instance.json'), join(host.stateDir, 'tenants/acme/tenant.json')].map(
      async (path) => JSON.parse(await readFile(path, 'utf8')).secrets_epoch,
    ),
  );

/** Files of the state directory, but for the secrets' own, in which one of the values stands. */
async function filesWithValues(): Promise<string[]> {
  const found: string[] = [];
  for (const path of await readdir(host.stateDir, { recursive: true })) {
    const file = join(host.stateDir, path);
    if (!(await stat(file)).isFile() || path.endsWith('secrets.json') || path.startsWith('images/')) continue;
    if ((await readFile(file)).includes('hunter2-')) found.push(path);
  }
  return found;
}

test('without the secrets, or with a run directory on a disk, an instance is not started, and stays as it was', async () => {
  await expect(start()).rejects.toMatchObject({
    reason: 'secrets.missing',
    message: expect.stringContaining('"token"'),
    hint: expect.stringContaining('mvm secret set'),
  });
  await set({ token: FIRST, 'db.user': 'root', 'api.key': OTHER });
  await expect(start()).rejects.toMatchObject({ reason: 'secrets.no_tmpfs', retry: 'after-change' });
  expect(await info()).toMatchObject({ status: 'ready', stop_reason: { kind: 'start_failed' } });
  expect(await drives()).toEqual([]);
});

test('a guest has exactly what its pool’s scopes allow, from memory, and no other guest can read it', async () => {
  await daemon.stop();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0755', 'mvmh', host.runDir]);
  await restart();
  quiet = await look(host);
  await start();
  await greeting(client, address);
  expect(await guest.output('cat /secrets/token')).toBe(FIRST);
  expect(await guest.output('ls /secrets')).toBe('db.user\nsecrets.json\ntoken');
  expect(JSON.parse(await guest.output('cat /secrets/secrets.json'))).toEqual({
    token: FIRST,
    'db.user': 'root',
  });
  expect(await guest.output('stat -c %a:%u /secrets /secrets/token')).toBe('700:0\n400:0');
  const path = join(host.runDir, 'vm', VM, 'secrets.ext4');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(host.runDir, 'vm', VM))).mode & 0o777).toBe(0o700);
  expect((await readFile(path)).includes(OTHER)).toBe(false);
  expect(await epochs()).toEqual([1, 1]);
});

test('a guest that slept through a change wakes to the new secrets; asleep, none are on the host', async () => {
  await guest.output('exec 3</secrets/token; (sleep 600; cat <&3 >/dev/null) </dev/null >/dev/null 2>&1 &');
  await client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 60_000 });
  expect(await drives()).toEqual([]);
  expect(await leftSince(host, quiet)).toEqual([]);
  // The memory of a guest holds its secrets; the tenant has a key, so that they are not in plain text on the disk.
  expect(await filesWithValues()).toEqual([]);
  await set({ token: SECOND, 'db.password': 'new' });
  await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
  await until('the new secrets', async () => (await guest.output('cat /secrets/token')) === SECOND, 60_000);
  expect(await guest.output('ls -A /secrets')).toBe('db.password\nsecrets.json\ntoken');
  expect(await guest.output('cat /config/config.json')).toContain('"instance_id": "i-secret"');
  expect(await guest.output('grep -c secrets-drive /proc/mounts || true')).toBe('0');
  expect(await epochs()).toEqual([2, 2]);
  // Twice more, without a change: nothing counts up, and the drive is read again.
  await client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
  await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
  expect(await guest.output('cat /secrets/token')).toBe(SECOND);
  expect(await epochs()).toEqual([2, 2]);
});

test('a wake whose secrets are gone is refused, and the instance sleeps on', async () => {
  await client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
  await set({ 'db.password': 'new' });
  await expect(client.request({ type: 'WakeInstance', ...address })).rejects.toMatchObject({
    reason: 'secrets.missing',
  });
  expect(await info()).toMatchObject({ status: 'sleeping' });
  expect(await leftSince(host, quiet)).toEqual([]);
  await set({ token: SECOND });
  await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
  expect(await guest.output('cat /secrets/token')).toBe(SECOND);
});

test('the drive goes with its VM, however that ends, and with a start that was killed midway', async () => {
  const { pid } = await info();
  process.kill(pid as number, 'SIGKILL');
  await until('reaped', async () => (await info()).status === 'stopped');
  await until('gone', async () => (await drives()).length === 0);
  for (const moment of ['before', 'after']) {
    await daemon.stop();
    await restart({ MVM_FAILPOINT: `start/secrets_drive.build/${moment}` });
    await start().catch(() => {});
    expect(await daemon.stop()).toBe('SIGKILL');
    expect((await drives()).length).toBe(moment === 'after' ? 1 : 0);
    said += daemon.logs();
    await restart();
    expect(await drives()).toEqual([]);
    expect(await info()).toMatchObject({ stop_reason: { kind: 'start_failed' } });
    expect(await leftSince(host, quiet)).toEqual([]);
  }
});

test('no value is in an argument, a log, an error or a record', async () => {
  await start();
  const { pid } = await info();
  expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).toContain('secrets.ext4');
  expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('hunter2');
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  expect(limits).toMatch(/Max core file size +0 +0/);
  await writeFile(secretsPath(host.stateDir, 'acme'), `{"token": ${SECOND}}`);
  await client.request({ type: 'StopInstance', ...address });
  const error = await start().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ reason: 'secrets.damaged' });
  expect(`${error}${JSON.stringify(error)}`).not.toContain('hunter2');
  expect(await filesWithValues()).toEqual([]);
  expect(said + daemon.logs()).not.toContain('hunter2');
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: true });
});
