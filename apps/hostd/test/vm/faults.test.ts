import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, rmdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildGuestImage } from '@mvm/guest-image';
import type { HostdClient } from '@mvm/hostd-client';
import { addImage, imagesDir } from '@mvm/image-store';
import type { V2Request } from '@mvm/protocol';
import { type RunningDaemon, until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, netOf } from '../tenants.js';
import { greeting, guestCount, instanceFile } from './vm-host.js';

// The host fails under a running VM: no space, a read-only file system, no processes left, a clock that jumps. Each is a
// typed error with a hint, the state stays as it was, hostd goes on, and everything works again afterwards.

let host: Host;
let client: HostdClient;
let daemon: RunningDaemon;
let hello: string;
let fakedPid: number;
const awake: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-awake' };
const idle: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-idle' };
const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const clockFile = (): string => join(host.dir, 'clock');

/** Library and settings under which wall time is what `clockFile` says, and monotonic time is left alone. */
function fakeClock(): Record<string, string> {
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: clockFile(),
    FAKETIME_NO_CACHE: '1',
    DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}

beforeAll(async () => {
  const { fileURLToPath } = await import('node:url');
  const outDir = fileURLToPath(new URL('../../../../.cache/guest-image', import.meta.url));
  const image = await buildGuestImage({ outDir });
  host = await createHost();
  await mkdir(host.stateDir, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1g,mode=0700', 'mvmh', host.stateDir]);
  await addImage(imagesDir(host.stateDir), { name: 'demo', ...image });
  await writeFile(clockFile(), '+0');
  if (!existsSync(FAKETIME)) throw new Error('libfaketime is missing: npm run setup');
  daemon = await host.start({ env: fakeClock() });
  fakedPid = daemon.pid;
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  for (const address of [awake, idle]) await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...awake });
  hello = await greeting(client, awake);
}, 240_000);
afterAll(async () => {
  const { stateDir } = host;
  execFileSync('umount', ['--lazy', stateDir]);
  await host.dispose();
  // libfaketime's own, which a process that is killed leaves behind.
  for (const name of ['faketime_shm', 'sem.faketime_sem']) {
    await rm(`/dev/shm/${name}_${fakedPid}`, { force: true });
  }
});

const quotas = {
  max_vcpus: 2,
  max_mem_mib: 1024,
  max_running: 2,
  max_warm: 1,
  max_pools: 1,
  max_instances_per_pool: 4,
  max_disk_gib: 1,
};
const requests = {
  sleep: { type: 'SleepInstance', ...awake, force: true },
  warm: { type: 'WarmInstance', ...awake },
  stop: { type: 'StopInstance', ...awake },
  destroy: { type: 'DestroyInstance', ...awake, wipe_volumes: true },
  start: { type: 'StartInstance', ...idle },
  create: { type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-new' },
  tenant: { type: 'EnsureTenant', tenant_id: 'globex', net: netOf(4), quotas },
} as const satisfies Record<string, V2Request>;

/** The files below the state directory but logs and what each start makes anew, and what hostd tells of it. */
async function state(): Promise<unknown> {
  // A guest whose sleep came to nothing is told so behind the answer.
  const pending = instanceFile(host, awake, 'wake-owed');
  await until('the guest was notified that it was resumed', async () => !existsSync(pending), 30_000);
  const entries = await readdir(host.stateDir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/runtime|audit|filler|config\.ext4/.test(path));
  const { instances } = await client.request({ type: 'ListInstances' });
  return {
    files: files.sort(),
    instances: instances.map(({ instance_id, pid, status }) => [instance_id, pid, status]),
  };
}

async function refuses(request: V2Request, error: { code: unknown; reason: unknown }): Promise<void> {
  const answer = await client.request(request).then(
    (response) => response,
    (failure: unknown) => failure,
  );
  expect(answer, JSON.stringify(request)).toMatchObject({ ...error, hint: expect.stringMatching(/./) });
}

async function isTheSameGuest(): Promise<void> {
  const counted = await guestCount(client, awake);
  await until('counting on', async () => (await guestCount(client, awake)) > counted, 60_000);
  expect(await greeting(client, awake)).toBe(hello);
}

/** What was refused works now, and what it did is taken back. */
async function worksAgain(): Promise<void> {
  await client.request(requests.start);
  await client.request({ type: 'StopInstance', ...idle });
  await client.request(requests.sleep);
  await client.request({ type: 'WakeInstance', ...awake });
  await isTheSameGuest();
}

/** The space of the state directory, taken. */
interface Filler {
  /** Take what has become free meanwhile: a guest writes, and lets go of, blocks as it likes. */
  again(): Promise<void>;
  free(): Promise<void>;
}

/** Take the space that is left, but `spareBytes`. */
async function fill(spareBytes: number): Promise<Filler> {
  const path = join(host.stateDir, 'filler');
  await appendUntilFull(path, 65_536);
  if (spareBytes > 0) await truncate(path, Math.max(0, (await stat(path)).size - spareBytes));
  // What is left beside whole pieces is taken page by page.
  const again = (): Promise<void> => appendUntilFull(path, 4096);
  if (spareBytes === 0) await again();
  return { again, free: () => rm(path) };
}

async function appendUntilFull(path: string, pieceBytes: number): Promise<void> {
  const file = await open(path, 'a');
  try {
    const piece = Buffer.alloc(pieceBytes);
    for (;;) await file.appendFile(piece);
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    await file.close();
  }
}

const full = { code: 'resource_exhausted', reason: expect.stringMatching(/^(state\.no_space|disk\.full)$/) };

test('without space for a snapshot the guest runs on; with space it sleeps', async () => {
  const before = await state();
  const { free } = await fill(64 * 1_048_576);
  try {
    await refuses(requests.sleep, full);
    expect(await state()).toEqual(before);
    await isTheSameGuest();
  } finally {
    await free();
  }
  await worksAgain();
});

test('without space for a journal nothing begins but what frees space', async () => {
  const before = await state();
  const { again, free } = await fill(0);
  // What stops and destroys has room of its own: daemon-full-disk-ends.test.ts.
  const { stop: _stop, destroy: _destroy, ...taking } = requests;
  try {
    for (const request of Object.values(taking)) {
      await again();
      await refuses(request, full);
    }
  } finally {
    await free();
  }
  expect(await state()).toEqual(before);
  await isTheSameGuest();
  await worksAgain();
});

test('on a read-only file system nothing begins', async () => {
  const before = await state();
  execFileSync('mount', ['--bind', host.stateDir, host.stateDir]);
  execFileSync('mount', ['-o', 'remount,bind,ro', host.stateDir]);
  try {
    for (const request of Object.values(requests)) {
      await refuses(request, { code: 'failed_precondition', reason: 'state.read_only' });
    }
    expect(await client.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  } finally {
    execFileSync('umount', [host.stateDir]);
  }
  expect(await state()).toEqual(before);
  await isTheSameGuest();
  await worksAgain();
});

/** Ends the programs that hostd keeps ready for a request; it starts others only after the next one. */
async function endSpares(): Promise<void> {
  const text = await readFile(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8');
  for (const pid of text.trim().split(' ').filter(Boolean)) {
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim();
    if (!/^(?:ip|nft) .*-$/.test(command)) continue;
    process.kill(Number(pid), 'SIGKILL');
    await until('the program has ended', async () => !existsSync(`/proc/${pid}`), 5_000);
  }
}

test('without a process left nothing is half done', async () => {
  const before = await state();
  const root = existsSync('/sys/fs/cgroup/pids') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup';
  const cgroup = join(root, `${host.cgroupParent}-few`);
  await mkdir(cgroup);
  try {
    await writeFile(join(cgroup, 'cgroup.procs'), String(daemon.pid));
    const tasks = (await readdir(`/proc/${daemon.pid}/task`)).length;
    await writeFile(join(cgroup, 'pids.max'), String(tasks));
    await endSpares();
    for (const request of [requests.start, requests.tenant] as const) {
      await refuses(request, { code: 'resource_exhausted', reason: 'host.no_processes' });
    }
    // What needs no process is done all the same.
    await client.request(requests.warm);
    await client.request({ type: 'ResumeInstance', ...awake });
    expect(await client.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  } finally {
    // Also when it failed: neither is the cgroup left, nor hostd in it.
    await writeFile(join(root, 'cgroup.procs'), String(daemon.pid));
    await rmdir(cgroup);
  }
  expect(await state()).toEqual(before);
  await worksAgain();
});

test.each(['+2d', '-2d', '+0'])('the clock jumps to %s: everything goes on, in time', async (offset) => {
  await writeFile(clockFile(), offset);
  await client.request({ type: 'SleepInstance', ...awake, force: false, drain_timeout_secs: 5 });
  const record = JSON.parse(await readFile(instanceFile(host, awake, 'instance.json'), 'utf8'));
  const shifted = Date.now() + { '+2d': 172_800_000, '-2d': -172_800_000, '+0': 0 }[offset as '+0'];
  expect(Math.abs(Date.parse(record.last_stopped_at) - shifted)).toBeLessThan(600_000);
  await client.request({ type: 'WakeInstance', ...awake });
  await isTheSameGuest();
  const lines = (await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8')).trim().split('\n');
  // Durations are of a clock that does not jump.
  for (const { duration_ms } of lines
    .map((line) => JSON.parse(line))
    .filter((line) => 'duration_ms' in line)) {
    expect(duration_ms).toBeGreaterThanOrEqual(0);
    expect(duration_ms).toBeLessThan(600_000);
  }
});

test('a drain takes as long as it may, though the clock jumps meanwhile', async () => {
  // A guest that has only begun to boot has nobody who could answer; one whose vCPUs stand still has an agent that cannot.
  await writeFile(clockFile(), '+0');
  const { pid } = await client.request({ type: 'DescribeInstance', ...awake });
  if (pid === null) throw new Error('the guest does not run');
  process.kill(pid, 'SIGSTOP');
  let slept: Promise<unknown>;
  const began = performance.now();
  try {
    slept = client.request({ type: 'SleepInstance', ...awake, force: false, drain_timeout_secs: 2 });
    await until('the drain', async () => {
      const { operation } = (await client.request({ type: 'DescribeInstance', ...awake })) as {
        operation?: unknown;
      };
      return operation === 'sleep';
    });
    await writeFile(clockFile(), '+2d');
  } finally {
    setTimeout(() => process.kill(pid, 'SIGCONT'), 3_000);
  }
  await slept;
  expect(performance.now() - began).toBeGreaterThan(2_000);
  await client.request({ type: 'WakeInstance', ...awake });
  await isTheSameGuest();
  await writeFile(clockFile(), '+0');
});

test('a restarted hostd reads what was written while the clock was wrong', async () => {
  await daemon.kill();
  daemon = await host.start();
  expect(await client.request({ type: 'DescribeInstance', ...awake })).toMatchObject({ status: 'running' });
  await isTheSameGuest();
});
