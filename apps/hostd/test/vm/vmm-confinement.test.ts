import { execFileSync } from 'node:child_process';
import { open, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import type { VmHandle, VmSpec } from '../../src/vmm/vmm.js';
import { createDriverHost, type DriverHost } from '../driver-contract/driver-host.js';

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const fcntl = koffi.load('libc.so.6').func('int fcntl(int, int, ...)') as unknown as (
  fd: number,
  command: number,
  type: 'void *',
  argument: Buffer,
) => number;

let host: DriverHost;
let spec: VmSpec;
let handle: VmHandle;
let pid: number;

beforeAll(async () => {
  process.env.MVM_TEST_SECRET = 'not for a VMM';
  host = await createDriverHost();
  spec = await host.prepare(11);
  handle = await createQemuVmm().launch(spec, (started) => host.cgroups.attach(spec.vmId, started));
  pid = handle.record.pid;
});
afterAll(async () => {
  await handle?.kill();
  if (spec !== undefined) await host.discard(spec);
  await host?.close();
});

/** The rows of a table of docs/security-model.md: name and value. */
async function documented(heading: string): Promise<Map<string, string>> {
  const page = await readFile(new URL('../../../../docs/security-model.md', import.meta.url), 'utf8');
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.matchAll(/^\| `([^`]+)` \| `([^`]+)` \|/gm);
  return new Map([...rows].map(([, name = '', value = '']) => [name, value]));
}

/** Runs a command as a process that is in the VMM's network namespace. */
function inItsNetwork(...command: string[]): string {
  return execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...command], { encoding: 'utf8' });
}

test('findings 11 and 23: the limits of a VMM are those that the docs name', async () => {
  const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const table = await documented('Limits of a VMM');
  expect([...table.keys()]).toEqual(expect.arrayContaining(['Max file size', 'Max open files', 'Seccomp']));
  for (const [name, value] of table) {
    const ofLimits = new RegExp(`^${name} {2,}(\\S+) +(\\S+)`, 'm').exec(limits);
    const ofStatus = new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1];
    const actual = ofLimits === null ? ofStatus : ofLimits[1];
    if (ofLimits !== null) expect(ofLimits[2], name).toBe(ofLimits[1]);
    expect(actual, name).toBe(value);
  }
});

test('finding 23: a VMM is in no namespace of the host’s but those for files and names', async () => {
  for (const name of ['net', 'pid', 'ipc']) {
    expect(await readlink(`/proc/${pid}/ns/${name}`), name).not.toBe(await readlink(`/proc/self/ns/${name}`));
  }
  expect(await readFile(`/proc/${pid}/status`, 'utf8')).toMatch(/^NSpid:\t\d+.*\t1$/m);
});

test('finding 4: a VMM’s network has no interface but an unused loopback, and its TAP is the host’s', () => {
  const links = JSON.parse(inItsNetwork('ip', '-j', 'link')) as { ifname: string; flags: string[] }[];
  expect(links.map(({ ifname }) => ifname)).toContain('lo');
  for (const { ifname, flags } of links) expect(flags, ifname).not.toContain('UP');
  expect(inItsNetwork('ip', 'route')).toBe('');
});

test('finding 23: nothing of hostd’s environment is in a VMM’s', async () => {
  const variables = (await readFile(`/proc/${pid}/environ`, 'utf8'))
    .split('\0')
    .filter((text) => text !== '');
  expect(variables.sort()).toEqual(['LC_ALL=C', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
});

test('finding 11: a VMM that grows its volume past its size gets an error, and lives', async () => {
  // What a VMM that an attacker broke out of does, by a process with the limits of this one.
  const volume = join(spec.socketDir, 'data.ext4');
  const file = await open(volume, 'r+');
  const before = (await file.stat()).size;
  const limit = /^Max file size +(\d+)/m.exec(await readFile(`/proc/${pid}/limits`, 'utf8'))?.[1];
  expect(Number(limit)).toBe(Math.max(before, 64 * 1_048_576));
  await file.close();
  expect(() =>
    execFileSync('prlimit', [`--fsize=${limit}`, 'sh', '-c', 'trap "" XFSZ; truncate -s 1T "$0"', volume], {
      stdio: 'pipe',
    }),
  ).toThrow(/File too large/);
});

test('finding 8: a lock of another tenant’s VMM on a shared image prevents no start', async () => {
  const shared = await host.prepare(12);
  const rootfs = shared.drives.find(({ id }) => id === 'rootfs')?.path ?? '';
  // With a descriptor for reading, which every VMM of the image has.
  const file = await open(rootfs, 'r');
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(F_RDLCK, 0);
  flock.writeBigInt64LE(100n, 8);
  flock.writeBigInt64LE(200n, 16);
  try {
    expect(fcntl(file.fd, F_OFD_SETLK, 'void *', flock)).toBe(0);
    const other = await createQemuVmm().launch(shared, (started) =>
      host.cgroups.attach(shared.vmId, started),
    );
    await other.kill();
  } finally {
    await file.close();
    await host.discard(shared);
  }
});
