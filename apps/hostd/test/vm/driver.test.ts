import { existsSync } from 'node:fs';
import { open, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { findDeviation, isAlive } from '../../src/vmm/process/process-identity.js';
import { vmmRoot } from '../../src/vmm/qemu/argv.js';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import type { VmHandle, VmSpec } from '../../src/vmm/vmm.js';
import {
  answersPing,
  consoleShows,
  createDriverHost,
  type DriverHost,
  ip,
  LIMITS,
} from '../driver-contract/driver-host.js';
import { argvOf } from '../driver-contract/qemu-argv.js';
import { keepParts } from '../driver-contract/saved-parts.js';

const vmm = createQemuVmm();
const fcntl = koffi.load('libc.so.6').func('int fcntl(int, int, int)');
const F_SETFD = 2;
const libc = koffi.load('libc.so.6');
const openat = libc.func('int openat(int, const char *, int)');
const close = libc.func('int close(int)');
const fcntlLock = libc.func('int fcntl(int, int, void *)');
const AT_FDCWD = -100;
const O_RDWR = 2;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
let host: DriverHost;
const specs: VmSpec[] = [];
const handles: VmHandle[] = [];

beforeAll(async () => {
  host = await createDriverHost();
}, 180_000);
afterEach(async () => {
  for (const handle of handles.splice(0)) await handle.kill();
  for (const spec of specs.splice(0)) await host.discard(spec);
});
afterAll(() => host.close());

async function prepare(offset: number, changes: Partial<VmSpec> = {}): Promise<VmSpec> {
  const spec = await host.prepare(offset, changes);
  specs.push(spec);
  return spec;
}

async function launch(spec: VmSpec): Promise<VmHandle> {
  const handle = await vmm.launch(spec, (pid) => host.cgroups.attach(spec.vmId, pid));
  handles.push(handle);
  return handle;
}

/** What a failed launch must leave: no process in the cgroup, no socket. */
async function expectNothingLeft(spec: VmSpec): Promise<void> {
  expect((await host.cgroups.stats(spec.vmId)).pidsCurrent).toBe(0);
  expect((await readdir(spec.socketDir)).filter((name) => name.endsWith('.sock'))).toEqual([]);
}

describe('a launched microVM', () => {
  it('waits, then boots and greets; it is confined, limited, and holds nothing of ours', async () => {
    const spec = await prepare(3);
    const ours = await open(join(host.directory, 'ours'), 'w');
    // As a supervisor's descriptor would arrive: inheritable.
    expect(fcntl(ours.fd, F_SETFD, 0)).toBe(0);
    const server = createServer().listen(join(host.directory, 'ours.sock'));
    const begun = performance.now();
    const handle = await launch(spec);
    const paused = performance.now();
    const { pid } = handle.record;
    const argv = argvOf(handle.record);

    // Paused: not even the firmware has run.
    expect((await stat(spec.consolePath)).size).toBe(0);
    expect(await host.cgroups.stats(spec.vmId)).toMatchObject(LIMITS);
    expect(await readFile(`/proc/${pid}/cgroup`, 'utf8')).toContain(`/${spec.vmId}\n`);
    expect((await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1)).toEqual(argv);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    expect(findDeviation(status, spec)).toBeNull();
    expect(await readlink(`/proc/${pid}/root`)).toBe(vmmRoot(spec));
    const sessionOf = async (id: number | string): Promise<string | undefined> =>
      (await readFile(`/proc/${id}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3];
    expect(await sessionOf(pid)).toBe(String(pid));
    expect(await sessionOf('self')).not.toBe(String(pid));

    const links = await descriptors(pid);
    expect(links.get('0')).toBe('/dev/null');
    expect(links.get('1')).toBe(spec.vmmLogPath);
    expect(links.get('2')).toBe(spec.vmmLogPath);
    const files = [...links.values()].filter((target) => target.startsWith('/'));
    const allowed = [
      spec.consolePath,
      spec.vmmLogPath,
      '/dev/null',
      '/dev/net/tun',
      ...spec.drives.map((d) => d.path),
    ];
    // A kernel or an initrd that is read into memory is closed again; what remains is what it was told to open.
    expect(files.filter((file) => !allowed.includes(file) && !file.startsWith('/memfd:'))).toEqual([]);
    const mine = new Set((await descriptors(process.pid)).values());
    const shared = [...links.values()].filter((target) => /^(socket|pipe):/.test(target) && mine.has(target));
    expect(shared).toEqual([]);

    await handle.resume();
    await handle.resume();
    const resumed = performance.now();
    const text = await consoleShows(spec.consolePath, /^mvm-guest ready [^\n]*\n/m);
    const greeted = performance.now();
    expect(text).toMatch(
      /^mvm-guest ready tenant=acme pool=workers instance=i-tn9i3 address=10\.240\.9\.3\/24 gateway=10\.240\.9\.1 gateway_ping=ok boot_id=[0-9a-f-]{36}\r?$/m,
    );
    expect(text).not.toContain('cannot');
    expect(answersPing(3, 20)).toBe(true);
    await ours.close();
    server.close();
    process.stderr.write(
      `launch until paused ${Math.round(paused - begun)} ms, resume until greeting ${Math.round(greeted - resumed)} ms\n`,
    );
  });

  it('stops answering while it is paused, and goes on after', async () => {
    const spec = await prepare(4);
    const handle = await launch(spec);
    await handle.resume();
    await consoleShows(spec.consolePath, 'mvm-guest ready');
    await handle.pause();
    await handle.pause();
    expect(answersPing(4, 2)).toBe(false);
    await handle.resume();
    expect(answersPing(4, 20)).toBe(true);
  });

  it('is gone after kill, with its sockets', async () => {
    const spec = await prepare(5);
    const handle = await launch(spec);
    await handle.resume();
    await handle.kill();
    expect(await isAlive(handle.record)).toBe(false);
    expect(await handle.exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
    await handle.kill();
    await expectNothingLeft(spec);
    await expect(handle.resume()).rejects.toMatchObject({ code: 'failed_precondition', reason: 'vmm.gone' });
    await expect(vmm.adopt(handle.record)).resolves.toBeNull();
  });

  it('is noticed at once when another process ends it', async () => {
    const spec = await prepare(6);
    const handle = await launch(spec);
    await handle.resume();
    const begun = performance.now();
    process.kill(handle.record.pid, 'SIGKILL');
    expect(await handle.exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  it('ends by itself when its guest does', async () => {
    // A kernel without a root file system: the initrd says so and powers the machine off.
    const spec = await prepare(7, { drives: [] });
    const handle = await launch(spec);
    await handle.resume();
    expect(await handle.exited).toEqual({ exitCode: 0, signal: null });
    expect(await readFile(spec.consolePath, 'utf8')).toContain('no root file system');
  });
});

describe('a launch that fails', () => {
  it('names the kernel that cannot be loaded, in the words of QEMU', async () => {
    const kernelPath = join(host.directory, 'broken-kernel');
    await writeFile(kernelPath, 'this is not a kernel\n'.repeat(500));
    const spec = await prepare(10, { kernelPath });
    await expect(launch(spec)).rejects.toMatchObject({
      reason: 'vmm.launch_failed',
      message: expect.stringMatching(/tn9i10.*exit code 1; it says: \S/),
      hint: expect.stringContaining('mvm'),
    });
    await expectNothingLeft(spec);
  });

  it('names a missing disk', async () => {
    const spec = await prepare(11, {
      drives: [{ id: 'rootfs', path: join(host.directory, 'no-disk'), readOnly: true }],
    });
    await expect(launch(spec)).rejects.toMatchObject({
      reason: 'vmm.launch_failed',
      message: expect.stringMatching(/no-disk.*No such file/),
    });
    await expectNothingLeft(spec);
  });

  it('does not make the TAP that is missing', async () => {
    const spec = await prepare(12);
    ip('link', 'del', spec.net.tapName);
    await expect(launch(spec)).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'vmm.tap_missing',
      hint: expect.any(String),
    });
    expect(ip('-o', 'link')).not.toContain('tn9i12');
    await expectNothingLeft(spec);
  });

  it('says that the TAP is in use', async () => {
    const first = await prepare(13);
    await launch(first);
    const second = await prepare(14, { net: first.net });
    await expect(launch(second)).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'net.tap_busy',
    });
    await expectNothingLeft(second);
  });

  it('does not share a writable disk', async () => {
    const first = await prepare(17);
    await launch(first);
    const own = await prepare(18);
    const second = { ...own, drives: [...own.drives.slice(0, 2), ...first.drives.slice(2)] };
    await expect(launch(second)).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'disk.in_use',
    });
    await expectNothingLeft(second);
  });

  it('says that its guest has not run when it is refused a disk, and runs it later', async () => {
    const spec = await prepare(19);
    const handle = await launch(spec);
    await handle.resume();
    await handle.pause();
    // Saved, a VM has let go of its disks; it takes them again when it goes on.
    await keepParts(handle.save());
    const disk = spec.drives.find(({ readOnly }) => !readOnly)?.path ?? '';
    const fd = openat(AT_FDCWD, disk, O_RDWR);
    const lock = Buffer.alloc(32);
    lock.writeInt16LE(F_WRLCK, 0);
    lock.writeBigInt64LE(100n, 8);
    lock.writeBigInt64LE(200n, 16);
    expect(fcntlLock(fd, F_OFD_SETLK, lock)).toBe(0);
    const size = (await stat(spec.consolePath)).size;
    expect(await handle.resume()).toMatchObject({
      outcome: 'refused',
      error: { reason: 'vmm.not_resumed', message: expect.stringContaining('lock') },
    });
    expect((await stat(spec.consolePath)).size).toBe(size);
    close(fd);
    await handle.resume();
    await consoleShows(spec.consolePath, 'mvm-guest ready');
  });

  it('leaves no process when the cgroup cannot take it', async () => {
    const spec = await prepare(15);
    let pid = 0;
    const attach = (started: number): Promise<void> => {
      pid = started;
      return host.cgroups.attach('no-such-cgroup', started);
    };
    await expect(vmm.launch(spec, attach)).rejects.toThrow();
    expect(pid).toBeGreaterThan(1);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await expectNothingLeft(spec);
  });

  it('names the package when QEMU is missing', async () => {
    const spec = await prepare(16);
    const without = createQemuVmm({ binary: '/nonexistent/qemu-system-x86_64' });
    const expected = {
      code: 'failed_precondition',
      reason: 'vmm.missing',
      hint: expect.stringContaining('apt-get'),
    };
    await expect(without.launch(spec, async () => {})).rejects.toMatchObject(expected);
    await expect(without.version()).rejects.toMatchObject(expected);
    expect(await vmm.version()).toMatch(/^\d+\.\d+\.\d+$/);
    await expectNothingLeft(spec);
  });
});

async function descriptors(pid: number): Promise<Map<string, string>> {
  const links = new Map<string, string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => null);
    if (target !== null) links.set(fd, target);
  }
  return links;
}
