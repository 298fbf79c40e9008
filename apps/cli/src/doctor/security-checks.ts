import { type Check, type Finding, ok, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

const FIRST_VM_UID = 1_900_000_000;
const VM_UIDS = 1_048_576;
/** Entries of the connection table for one guest, as the network's limits allow by default. */
const LEAST_CONNTRACK = 65_536;
/** Directories that root's files are in or below. */
const ROOTS_DIRECTORIES = ['/var/lib', '/run', '/etc', '/usr/bin'];

/** What makes a host of other people's guests safer, and mvm cannot set. `mvm doctor --security`. */
export const securityChecks: readonly Check<HostProbe>[] = [
  { name: 'swap', area: 'security', run: checkSwap },
  { name: 'ksm', area: 'security', run: checkKsm },
  { name: 'smt', area: 'security', run: checkSmt },
  { name: 'microcode', area: 'security', run: checkMicrocode },
  { name: 'core-pattern', area: 'security', run: checkCorePattern },
  { name: 'directories', area: 'security', run: checkDirectories },
  { name: 'conntrack', area: 'security', run: checkConntrack },
  { name: 'vm-uids', area: 'security', run: checkVmUids },
];

async function trimmed(host: HostProbe, path: string): Promise<string | undefined> {
  return (await host.readText(path))?.trim();
}

async function checkSwap(host: HostProbe): Promise<Finding> {
  const devices = ((await host.readText('/proc/swaps')) ?? '').trim().split('\n').slice(1);
  const plain = devices.map((line) => line.split(/\s+/)[0] ?? '').filter((name) => !/zram|dm-/.test(name));
  if (devices.length === 0) return ok('none');
  return plain.length === 0
    ? ok(`only ${devices.length} in memory or behind device-mapper`)
    : warn(
        `${plain.join(', ')}: what is swapped stands on the disk in plain; VMs' cgroups forbid it for guests' memory only`,
        'swapoff -a, and take it out of /etc/fstab; or swap to an encrypted device',
      );
}

async function checkKsm(host: HostProbe): Promise<Finding> {
  const run = await trimmed(host, '/sys/kernel/mm/ksm/run');
  return run === undefined || run === '0'
    ? ok('off')
    : warn(
        'on: guests can find out what is in others’ memory by how long a write takes',
        'echo 2 > /sys/kernel/mm/ksm/run, and keep ksmd or ksmtuned from starting',
      );
}

async function checkSmt(host: HostProbe): Promise<Finding> {
  const active = await trimmed(host, '/sys/devices/system/cpu/smt/active');
  return active !== '1'
    ? ok(active === undefined ? 'the kernel names no siblings' : 'off')
    : warn(
        'on: guests of two tenants may share a core, and what leaks from it',
        'echo off > /sys/devices/system/cpu/smt/control, or nosmt on the kernel command line',
      );
}

async function checkMicrocode(host: HostProbe): Promise<Finding> {
  const directory = '/sys/devices/system/cpu/vulnerabilities';
  const open: string[] = [];
  for (const name of await host.list(directory)) {
    const text = await trimmed(host, `${directory}/${name}`);
    if (text !== undefined && /^Vulnerable/.test(text)) open.push(name);
  }
  return open.length === 0
    ? ok('the kernel knows no hole of this CPU that is open')
    : warn(
        `the kernel calls this CPU open to ${open.join(', ')}`,
        'install the CPU’s microcode (intel-microcode or amd64-microcode), and take mitigations=off off the kernel command line',
      );
}

async function checkCorePattern(host: HostProbe): Promise<Finding> {
  const pattern = (await trimmed(host, '/proc/sys/kernel/core_pattern')) ?? '';
  return pattern.startsWith('|')
    ? warn(
        `core files go to a program of root's (${pattern.slice(1, 60)}), whatever the limit of a process says`,
        'see that it stores no core of processes with the user ids of VMs, or sysctl kernel.core_pattern=core',
      )
    : ok('files, which no VMM may write (its limit is 0)');
}

async function checkDirectories(host: HostProbe): Promise<Finding> {
  const open: string[] = [];
  for (const path of ROOTS_DIRECTORIES) {
    for (let each = path; each !== ''; each = each.slice(0, each.lastIndexOf('/'))) {
      if (await host.isOpenToOthers(each)) open.push(each);
    }
  }
  return open.length === 0
    ? ok('root alone can change the directories above its files')
    : warn(
        `others than root can write to ${[...new Set(open)].join(', ')}`,
        'chown root and chmod go-w them',
      );
}

async function checkConntrack(host: HostProbe): Promise<Finding> {
  const max = Number((await trimmed(host, '/proc/sys/net/netfilter/nf_conntrack_max')) ?? Number.NaN);
  if (Number.isNaN(max)) return ok('no connection is tracked yet');
  return max >= LEAST_CONNTRACK
    ? ok(`${max} connections`)
    : warn(
        `${max} connections for all guests and the host`,
        'sysctl net.netfilter.nf_conntrack_max=262144; docs/networking.md tells what the limits allow',
      );
}

/** Accounts and subordinate ranges that overlap with the user ids of VMs. */
async function checkVmUids(host: HostProbe): Promise<Finding> {
  const last = FIRST_VM_UID + VM_UIDS - 1;
  const overlaps: string[] = [];
  for (const line of ((await host.readText('/etc/passwd')) ?? '').split('\n')) {
    const [name = '', , uid] = line.split(':');
    if (Number(uid) >= FIRST_VM_UID && Number(uid) <= last) overlaps.push(name);
  }
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    for (const line of ((await host.readText(file)) ?? '').split('\n')) {
      const [name = '', first, count] = line.split(':');
      if (Number(first) <= last && Number(first) + Number(count) > FIRST_VM_UID)
        overlaps.push(`${name} (${file})`);
    }
  }
  return overlaps.length === 0
    ? ok(`${FIRST_VM_UID} to ${last} are not used by others`)
    : warn(
        `${overlaps.join(', ')} have user ids between ${FIRST_VM_UID} and ${last}: their processes can signal VMMs`,
        'move them, or give hostd another vm_uid_base',
      );
}
