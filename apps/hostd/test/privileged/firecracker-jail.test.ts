import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createFirecrackerVmm } from '../../src/vmm/firecracker/driver.js';
import { createProgramsReader } from '../../src/vmm/firecracker/program.js';
import { isAlive } from '../../src/vmm/process/process-identity.js';
import type { VmHandle, Vmm, VmSpec } from '../../src/vmm/vmm.js';
import { createDriverHost, type DriverHost } from '../driver-contract/driver-host.js';

// The real programs, up to where KVM is needed: no guest is started.
const SCRIPT = fileURLToPath(new URL('../../../../scripts/firecracker.sh', import.meta.url));

let programs: string;
let images: string;
let host: DriverHost;
let vmm: Vmm;
const specs: VmSpec[] = [];
const handles: VmHandle[] = [];

beforeAll(async () => {
  programs = execFileSync(SCRIPT, { encoding: 'utf8' }).trim();
  images = await mkdtemp(join(tmpdir(), 'mvm-fc-images-'));
  const file = join(images, 'file');
  await writeFile(file, 'never booted', { mode: 0o444 });
  host = await createDriverHost({ image: { kernel: file, initrd: file, rootfs: file, kernelArgs: 'quiet' } });
  vmm = driver(join(programs, 'firecracker'));
}, 180_000);
afterEach(async () => {
  for (const handle of handles.splice(0)) await handle.kill();
  for (const spec of specs.splice(0)) await host.discard(spec);
});
afterAll(async () => {
  await host?.close();
  await rm(images, { recursive: true, force: true });
});

const driver = (firecracker: string, jailer = join(programs, 'jailer')): Vmm =>
  createFirecrackerVmm({ programs: createProgramsReader(firecracker, jailer) });
const prepare = async (offset: number): Promise<VmSpec> => {
  const spec = await host.prepare(offset);
  specs.push(spec);
  return spec;
};
const launch = async (spec: VmSpec): Promise<VmHandle> => {
  const handle = await vmm.launch(spec, (pid) => host.cgroups.attach(spec.vmId, pid));
  handles.push(handle);
  return handle;
};
const mounts = async (): Promise<string> => await readFile('/proc/thread-self/mountinfo', 'utf8');

describe('the jail of a Firecracker', () => {
  it('holds single files, in directories that are root’s, and nothing of it is seen outside', async () => {
    const before = await mounts();
    const prepared = await prepare(60);
    const secrets = join(prepared.socketDir, 'secrets.ext4');
    await writeFile(secrets, 'a secrets drive', { mode: 0o600 });
    const drives = [...prepared.drives, { id: 'secrets', path: secrets, readOnly: true }];
    const spec = { ...prepared, drives };
    const { record } = await launch(spec);
    expect(await mounts()).toBe(before);
    expect(await readdir(join(spec.socketDir, 'jail'))).toEqual([]);
    const root = `/proc/${record.pid}/root`;
    const found = execFileSync('find', ['.', '-printf', '%y %m %U %p\n'], { cwd: root, encoding: 'utf8' })
      .trim()
      .split('\n')
      .sort();
    const { uid } = spec;
    const directories = found.filter((line) => line.startsWith('d '));
    for (const line of directories) expect(line).toMatch(/^d 755 0 /);
    expect(found.filter((line) => !line.startsWith('d '))).toEqual(
      expect.arrayContaining([
        `c 600 ${uid} ./dev/kvm`,
        `c 600 ${uid} ./dev/net/tun`,
        `f 600 ${uid} ./drive-config`,
        `f 444 0 ./drive-rootfs`,
        `f 444 0 ./initrd`,
        `f 444 0 ./kernel`,
        `f 600 ${uid} ./drive-data`,
        `f 600 ${uid} ./drive-secrets`,
        `s 700 ${uid} .${spec.socketDir}/api.sock`,
        `s 700 ${uid} .${spec.socketDir}/vsock.sock`,
      ]),
    );
    const table = await readFile(`/proc/${record.pid}/mountinfo`, 'utf8');
    const readOnly = table.split('\n').filter((line) => / ro,nosuid,nodev,noexec/.test(line));
    expect(readOnly.map((line) => line.split(' ')[4]).sort()).toEqual([
      '/drive-config',
      '/drive-rootfs',
      '/drive-secrets',
      '/initrd',
      '/kernel',
    ]);
    // The image that VMs share is root’s as before.
    expect((await stat(spec.kernelPath)).uid).toBe(0);
  });

  it('confines a process of the VM’s own user, with limits that a snapshot fits into', async () => {
    const spec = await prepare(61);
    const { record } = await launch(spec);
    const status = await readFile(`/proc/${record.pid}/status`, 'utf8');
    const four = Array(4).fill(spec.uid).join('\t');
    expect(status).toContain(`Uid:\t${four}\nGid:\t${four}\n`);
    expect(status).toMatch(/^Groups:\s*$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^Umask:\t0077$/m);
    expect(status).toMatch(/^NSpid:\t\d+\t1$/m);
    expect(await readFile(`/proc/${record.pid}/cgroup`, 'utf8')).toContain(`/${spec.vmId}\n`);
    const limits = await readFile(`/proc/${record.pid}/limits`, 'utf8');
    const limit = (name: string): number => Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(limits)?.[1]);
    expect(limit('Max file size')).toBeGreaterThanOrEqual(spec.memMib * 1_048_576);
    expect(limit('Max core file size')).toBe(0);
    expect(limit('Max open files')).toBe(256);
    // Nothing of what it was asked is in a log.
    expect(await readFile(spec.consolePath, 'utf8')).toBe('');
    expect(await readFile(spec.vmmLogPath, 'utf8')).toBe('');
  });

  it('is found again by its record alone, and gone with its process', async () => {
    const spec = await prepare(62);
    const first = await launch(spec);
    first.detach();
    handles.pop();
    const { record } = first;
    for (const other of [
      { ...record, startTimeTicks: '1' },
      { ...record, hostBootId: 'other' },
      { ...record, driverState: {} },
      { ...record, vmm: 'qemu' } as const,
    ])
      expect(await vmm.adopt(other)).toBeNull();
    const second = await vmm.adopt(JSON.parse(JSON.stringify(record)));
    if (second === null) throw new Error('not adopted');
    handles.push(second);
    process.kill(record.pid, 'SIGKILL');
    expect(await second.exited).toEqual({ exitCode: null, signal: null });
    await expect(second.resume()).rejects.toMatchObject({ reason: 'vmm.gone' });
    expect(await vmm.adopt(record)).toBeNull();
  });
});

describe('a Firecracker that cannot be launched', () => {
  let next = 70;
  const refused = async (
    changes: Partial<VmSpec>,
    reason: string,
    how: { readonly with?: Vmm; readonly othersOfUser?: number } = {},
  ): Promise<void> => {
    const spec = await prepare(next++);
    const pids: number[] = [];
    const attempt = (how.with ?? vmm).launch({ ...spec, ...changes }, async (pid) => void pids.push(pid));
    await expect(attempt).rejects.toMatchObject({ reason });
    for (const pid of pids) expect(await isAlive({ pid, startTimeTicks: '' })).toBe(false);
    const uid = String(changes.uid ?? spec.uid);
    const left = spawnSync('ps', ['-o', 'pid=', '-U', uid], { encoding: 'utf8' }).stdout;
    expect(left.split('\n').filter((line) => line !== '')).toHaveLength(how.othersOfUser ?? 0);
  };

  it('for a TAP that is not there', async () => {
    await refused({ net: { tapName: 'tn9i99', mac: '02:fc:00:09:00:63' } }, 'vmm.tap_missing');
  });

  it('for a TAP that another process has, or that is another user’s', async () => {
    const first = await prepare(64);
    await launch(first);
    const { net, uid, gid } = first;
    const drives = first.drives.filter(({ readOnly }) => readOnly);
    await refused({ net, uid, gid, drives }, 'net.tap_busy', { othersOfUser: 1 });
    await refused({ net }, 'net.tap_not_owned');
  });

  it('for a disk that another VM writes, also as the same VM once more, and for as long as that lives', async () => {
    const first = await prepare(65);
    const running = await launch(first);
    const { drives } = first;
    await refused({ drives }, 'disk.in_use');
    await expect(vmm.launch(first, async () => {})).rejects.toMatchObject({ reason: 'disk.in_use' });
    const data = drives.find(({ id }) => id === 'data')?.path ?? '';
    const writer = ['-drive', `if=none,id=d,file=${data},format=raw`, '-device', 'virtio-blk-device,drive=d'];
    const qemu = (): { status: number | null; stderr: string } =>
      spawnSync(
        'qemu-system-x86_64',
        ['-M', 'microvm', '-accel', 'tcg', '-m', '16', '-nodefaults', '-display', 'none', '-S', ...writer],
        { encoding: 'utf8', timeout: 2_000 },
      );
    expect(qemu()).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/Failed to (get "write" lock|lock byte)/),
    });
    await running.kill();
    // It goes on until it is ended by SIGTERM.
    expect(qemu()).toMatchObject({ status: 0 });
    await (await launch(first)).kill();
  });

  it('for a socket directory with a path that is too long', async () => {
    const spec = await prepare(67);
    const socketDir = join(spec.socketDir, 'd'.repeat(80));
    await refused({ socketDir }, 'vmm.socket_path_too_long');
    expect(await readdir(spec.socketDir)).not.toContain('d'.repeat(80));
  });

  it('for a jail that is full, or that cannot be made', async () => {
    const large = join(images, 'firecracker');
    execFileSync('cp', [join(programs, 'firecracker'), large]);
    execFileSync('truncate', ['-s', '96M', large]);
    // Directories of root alone are above it, but for /tmp.
    await refused({}, 'vmm.jail_failed', { with: driver(large) });
    await rm(large);
    const readOnly = join(images, 'read-only');
    await mkdir(readOnly);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'read-only', readOnly]);
    await refused({ socketDir: readOnly }, 'state.read_only');
    execFileSync('umount', [readOnly]);
  });

  it('for a drive that is not there', () =>
    refused({ drives: [{ id: 'rootfs', path: '/nonexistent', readOnly: true }] }, 'state.io_error'));

  it('for a program that is linked dynamically, or that others can change', async () => {
    await refused({}, 'vmm.not_static', { with: driver('/bin/ls') });
    const open = join(images, 'firecracker');
    execFileSync('cp', [join(programs, 'firecracker'), open]);
    await chmod(open, 0o777);
    await refused({}, 'vmm.unsafe_program', { with: driver(open) });
    await refused({}, 'vmm.missing', { with: driver('no-such-program') });
  });
});
