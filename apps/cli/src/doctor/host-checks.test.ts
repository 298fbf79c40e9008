import { describe, expect, it } from 'vitest';
import { accountChecks } from './account-checks.js';
import { runChecks } from './check.js';
import { hostChecks, isAtLeast } from './host-checks.js';
import type { HostProbe } from './host-probe.js';
import { toolChecks } from './tool-checks.js';

const ROUTES =
  'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n';

const FILES: Record<string, string> = {
  '/proc/cpuinfo': 'processor\t: 0\nflags\t\t: fpu vmx sse\n',
  '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory pids\n',
  '/proc/sys/net/ipv4/ip_forward': '1\n',
  '/proc/net/route': ROUTES,
  '/proc/mounts': '',
};

/** A host on which all is well, in memory; refuses to be asked for what it does not know. */
function host(files: Record<string, string | undefined> = {}, overrides: Partial<HostProbe> = {}): HostProbe {
  const all = { ...FILES, ...files };
  return {
    nodeVersion: 'v20.20.2',
    kernelRelease: '6.1.0-13-amd64',
    arch: 'x64',
    uid: 1000,
    groups: [990],
    readText: async (path) => {
      if (!(path in all)) throw new Error(`not modelled: ${path}`);
      return all[path];
    },
    list: async () => [],
    program: async () => null,
    read: async () => null,
    openReadWrite: async () => 'ok',
    kindOf: async () => 'device',
    freeBytes: async () => 50 * 1024 ** 3,
    freeInodes: async () => 1_000_000,
    isOpenToOthers: async () => false,
    run: async (program, args) => {
      const accounts: Record<string, string> = {
        group: 'mvm:x:990:',
        passwd: 'mvm:x:991:990::/nonexistent:/bin/false',
      };
      const output = program === 'getent' ? accounts[args[0] ?? ''] : `${program} 1.0\nmore`;
      return { kind: 'ran', exitCode: 0, output: output ?? '' };
    },
    ...overrides,
  };
}

async function diagnose(probe: HostProbe) {
  const results = await runChecks([...hostChecks('/var/lib/mvm'), ...toolChecks, ...accountChecks], probe);
  return Object.fromEntries(results.map(({ check, ...finding }) => [check, finding]));
}

it('only warns of a missing zstd, which pools without compression do not need', async () => {
  const run: HostProbe['run'] = async (program, args) =>
    program === 'zstd' ? { kind: 'missing' } : host().run(program, args);
  const { zstd } = await diagnose(host({}, { run }));
  expect(zstd).toMatchObject({ verdict: 'warn', fix: 'apt-get install zstd' });
});

it('finds a missing conntrack, without which no instance starts', async () => {
  const run: HostProbe['run'] = async (program, args) =>
    program === 'conntrack' ? { kind: 'missing' } : host().run(program, args);
  const { conntrack } = await diagnose(host({}, { run }));
  expect(conntrack).toMatchObject({ verdict: 'fail', fix: 'apt-get install conntrack' });
});

it('is content with a good host', async () => {
  const report = await diagnose(host());
  expect(Object.values(report).filter(({ verdict }) => verdict !== 'ok')).toEqual([]);
  expect(report.accelerator?.detail).toContain('vmx');
  expect(report.qemu?.detail).toBe('qemu-system-x86_64 1.0');
});

describe('finds', () => {
  it.each([
    ['an old Node', 'node', 'fail', host({}, { nodeVersion: 'v18.19.0' })],
    ['an old kernel', 'kernel', 'warn', host({}, { kernelRelease: '4.19.0' })],
    ['a foreign processor', 'kernel', 'fail', host({}, { arch: 'riscv64' })],
    ['no KVM', 'accelerator', 'warn', host({}, { openReadWrite: async () => 'ENOENT' })],
    ['KVM out of reach', 'accelerator', 'warn', host({}, { openReadWrite: async () => 'EACCES' })],
    ['KVM without vmx or svm', 'accelerator', 'warn', host({ '/proc/cpuinfo': 'flags : fpu\n' })],
    ['a missing controller', 'cgroups', 'fail', host({ '/sys/fs/cgroup/cgroup.controllers': 'cpu pids\n' })],
    ['no cgroups', 'cgroups', 'fail', host({ '/sys/fs/cgroup/cgroup.controllers': undefined })],
    ['no tun device', 'tun', 'fail', host({}, { kindOf: async () => 'absent' })],
    ['no IPv4', 'forwarding', 'fail', host({ '/proc/sys/net/ipv4/ip_forward': undefined })],
    ['no default route', 'uplink', 'warn', host({ '/proc/net/route': 'Iface\tDestination\n' })],
    ['little space', 'disk-space', 'warn', host({}, { freeBytes: async () => 2 * 1024 ** 3 })],
    ['no space', 'disk-space', 'fail', host({}, { freeBytes: async () => 1024 })],
    ['few inodes', 'inodes', 'warn', host({}, { freeInodes: async () => 5_000 })],
    ['no inodes', 'inodes', 'fail', host({}, { freeInodes: async () => 0 })],
    ['no QEMU', 'qemu', 'fail', host({}, { run: async () => ({ kind: 'missing' }) })],
    [
      'a broken nft',
      'nft',
      'fail',
      host({}, { run: async () => ({ kind: 'ran', exitCode: 127, output: 'x' }) }),
    ],
    ['no group', 'group', 'fail', host({}, { run: async () => ({ kind: 'ran', exitCode: 2, output: '' }) })],
    ['no user', 'user', 'fail', host({}, { run: async () => ({ kind: 'ran', exitCode: 2, output: '' }) })],
    ['a user outside the group', 'membership', 'warn', host({}, { groups: [100] })],
    [
      'what cannot be read',
      'forwarding',
      'fail',
      host({}, { readText: () => Promise.reject(new Error('EACCES: permission denied')) }),
    ],
  ] as const)('%s', async (_what, check, verdict, probe) => {
    const found = (await diagnose(probe))[check];
    expect(found?.verdict).toBe(verdict);
    expect(found?.fix).toMatch(/./);
  });

  it('version 1 hierarchies', async () => {
    const mounts =
      'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /m cgroup rw,memory 0 0\ncgroup /p cgroup rw,pids 0 0\n';
    const report = await diagnose(
      host({ '/sys/fs/cgroup/cgroup.controllers': undefined, '/proc/mounts': mounts }),
    );
    expect(report.cgroups).toEqual({
      area: 'host',
      verdict: 'ok',
      detail: 'version 1 with cpu, memory, pids',
    });
  });

  it('KVM on arm64 by the device alone', async () => {
    const report = await diagnose(host({ '/proc/cpuinfo': 'Features : fp\n' }, { arch: 'arm64' }));
    expect(report.accelerator?.verdict).toBe('ok');
    expect(report.qemu?.detail).toContain('aarch64');
  });
});

it.each([
  ['v20.19.0', [20, 19], true],
  ['v20.18.9', [20, 19], false],
  ['v22.1.0', [20, 19], true],
  ['6.1.0-13-amd64', [5, 10], true],
  ['5.9.1', [5, 10], false],
  ['nonsense', [1, 0], false],
] as const)('%s against %j: %s', (version, wanted, expected) => {
  expect(isAtLeast(version, wanted)).toBe(expected);
});
