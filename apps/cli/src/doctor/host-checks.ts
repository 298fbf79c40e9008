import { STATE_DIR } from '@mvm/protocol';
import { formatBytes } from '../format/bytes.js';
import { type Check, type Finding, fail, ok, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

const GIB = 1024 ** 3;
const MIN_NODE = [20, 19] as const;
const MIN_KERNEL = [5, 10] as const;
const CONTROLLERS = ['cpu', 'memory', 'pids'] as const;

/** What the machine and its kernel must offer. `stateDir` is where images and disks go. */
export function hostChecks(stateDir: string = STATE_DIR): readonly Check<HostProbe>[] {
  return [
    { name: 'node', area: 'host', run: checkNode },
    { name: 'kernel', area: 'host', run: checkKernel },
    { name: 'accelerator', area: 'host', run: checkAccelerator },
    { name: 'cgroups', area: 'host', run: checkCgroups },
    { name: 'tun', area: 'host', run: checkTun },
    { name: 'forwarding', area: 'host', run: checkForwarding },
    { name: 'uplink', area: 'host', run: checkUplink },
    { name: 'disk-space', area: 'host', run: (host) => checkSpace(host, stateDir) },
    { name: 'inodes', area: 'host', run: (host) => checkInodes(host, stateDir) },
  ];
}

async function checkNode(host: HostProbe): Promise<Finding> {
  return isAtLeast(host.nodeVersion, MIN_NODE)
    ? ok(host.nodeVersion)
    : fail(
        `${host.nodeVersion} is too old`,
        `install Node ${MIN_NODE.join('.')} or newer: https://nodejs.org`,
      );
}

async function checkKernel(host: HostProbe): Promise<Finding> {
  if (host.arch !== 'x64' && host.arch !== 'arm64') {
    return fail(`${host.kernelRelease} on ${host.arch}`, 'use an x86-64 or arm64 machine');
  }
  return isAtLeast(host.kernelRelease, MIN_KERNEL)
    ? ok(`${host.kernelRelease} on ${host.arch}`)
    : warn(
        `${host.kernelRelease} is older than what is tested`,
        `use Linux ${MIN_KERNEL.join('.')} or newer`,
      );
}

/** The same rule as hostd's `auto`: /dev/kvm opens, and the CPU shows vmx or svm, or the machine is arm64. */
async function checkAccelerator(host: HostProbe): Promise<Finding> {
  const opened = await host.openReadWrite('/dev/kvm');
  if (opened === 'ENOENT') {
    return warn(
      'no /dev/kvm: "auto" takes TCG, which emulates the CPU (works, but slow)',
      'load kvm_intel or kvm_amd (modprobe), and turn on virtualisation in the firmware or in the hypervisor around it',
    );
  }
  if (opened === 'EACCES') {
    return warn(
      '/dev/kvm is there, but this user may not open it; hostd, as root, can tell',
      'run "sudo mvm doctor"',
    );
  }
  if (opened !== 'ok') {
    return warn(`/dev/kvm does not open (${opened}): "auto" takes TCG (slow)`, 'see dmesg for what kvm says');
  }
  const flags =
    /^flags\s*:(.*)$/m.exec((await host.readText('/proc/cpuinfo')) ?? '')?.[1]?.split(/\s+/) ?? [];
  const flag = flags.find((each) => each === 'vmx' || each === 'svm');
  if (flag !== undefined || host.arch === 'arm64') {
    return ok(`KVM (/dev/kvm opens${flag === undefined ? '' : `, the CPU has ${flag}`})`);
  }
  return warn(
    '/dev/kvm opens but the CPU shows neither vmx nor svm: "auto" takes TCG (works, but slow)',
    'turn on nested virtualisation in the hypervisor around this machine',
  );
}

async function checkCgroups(host: HostProbe): Promise<Finding> {
  const unified = await host.readText('/sys/fs/cgroup/cgroup.controllers');
  if (unified !== undefined) {
    const there = unified.trim().split(/\s+/);
    const missing = CONTROLLERS.filter((each) => !there.includes(each));
    return missing.length === 0
      ? ok(`version 2 with ${CONTROLLERS.join(', ')}`)
      : fail(
          `version 2, but without ${missing.join(', ')}`,
          'take cgroup_disable= off the kernel command line',
        );
  }
  const mounted = ((await host.readText('/proc/mounts')) ?? '')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup')
    .flatMap(([, , , options]) => options?.split(',') ?? []);
  const missing = CONTROLLERS.filter((each) => !mounted.includes(each));
  return missing.length === 0
    ? ok(`version 1 with ${CONTROLLERS.join(', ')}`)
    : fail(
        `no cgroup hierarchy with ${missing.join(', ')} is mounted`,
        'boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none /sys/fs/cgroup',
      );
}

async function checkTun(host: HostProbe): Promise<Finding> {
  return (await host.kindOf('/dev/net/tun')) === 'device'
    ? ok('/dev/net/tun is there')
    : fail('no /dev/net/tun', 'load the module: modprobe tun (and add it to /etc/modules)');
}

async function checkForwarding(host: HostProbe): Promise<Finding> {
  const value = (await host.readText('/proc/sys/net/ipv4/ip_forward'))?.trim();
  if (value === undefined) return fail('this kernel has no IPv4 forwarding', 'use a kernel with IPv4');
  return value === '1'
    ? ok('IPv4 forwarding is on for all interfaces')
    : ok("hostd turns IPv4 forwarding on for tenants' bridges and uplinks; others stay off");
}

async function checkUplink(host: HostProbe): Promise<Finding> {
  const table = (await host.readText('/proc/net/route')) ?? '';
  const uplinks = table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .map(([device]) => device ?? '');
  return uplinks.length > 0
    ? ok(`default route by ${[...new Set(uplinks)].join(', ')}`)
    : warn(
        'no default route',
        'guests reach each other but not the outside; give the host one, or hostd --uplink <device>',
      );
}

async function checkSpace(host: HostProbe, stateDir: string): Promise<Finding> {
  const free = await host.freeBytes(stateDir);
  const detail = `${formatBytes(free)} free at ${stateDir}`;
  if (free < GIB) return fail(detail, 'free some space: images and data disks go there');
  return free < 5 * GIB ? warn(detail, 'free some space before adding images or data disks') : ok(detail);
}

/** An instance takes some dozen files and directories. */
async function checkInodes(host: HostProbe, stateDir: string): Promise<Finding> {
  const free = await host.freeInodes(stateDir);
  if (free === null) return ok(`as many as needed at ${stateDir}`);
  const detail = `${free} left at ${stateDir}`;
  const fix =
    'find what made so many files (df -i), and remove some: a disk without inodes is full, whatever space it has';
  if (free < 1_000) return fail(detail, fix);
  return free < 20_000 ? warn(detail, fix) : ok(detail);
}

/** Whether `v20.19.1` or `6.1.0-13-amd64` is at least the given major and minor version. */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, foundMajor, foundMinor] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (Number(foundMajor) !== major) return Number(foundMajor) > major;
  return Number(foundMinor) >= minor;
}
