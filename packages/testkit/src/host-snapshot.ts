import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** What to look at, beside what is the whole host's. */
export interface SnapshotOptions {
  /**
   * Texts by which processes, cgroups, mounts and temporary files are recognised as the caller's, e.g. the path of
   * its temporary directory; without any, everything that carries mvm's names is looked at.
   */
  readonly marks?: readonly string[];
}

/** What a run of mvm could leave on a host: sorted lists of printable names, one list per kind. */
export interface HostSnapshot {
  /** Network interfaces of the caller's network namespace. */
  readonly links: readonly string[];
  /** Named network namespaces. */
  readonly namespaces: readonly string[];
  /** nftables tables of the caller's network namespace; empty where `nft` may not list them. */
  readonly nftTables: readonly string[];
  /** Policy routing rules. */
  readonly ipRules: readonly string[];
  /** The sysctls that mvm changes, as `name = value`. */
  readonly sysctls: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  /** Files of ours directly under the directories that daemons and tests use. */
  readonly files: readonly string[];
  /** Users and groups named `mvm`. */
  readonly accounts: readonly string[];
}

/** One difference between two snapshots. */
export interface HostDifference {
  readonly kind: keyof HostSnapshot;
  readonly change: 'added' | 'removed';
  readonly item: string;
}

const OUR_NAMES = ['mvm', 'qemu-system', 'firecracker'] as const;
const SYSCTLS = [
  'net/ipv4/ip_forward',
  'net/ipv4/conf/all/forwarding',
  'net/ipv4/conf/all/rp_filter',
] as const;
const FILE_PARENTS = ['/run', '/var/lib', '/tmp', '/dev/shm'] as const;

/**
 * Lists what mvm could leave behind, as the caller's namespaces show it. Reads only. Throws when `ip` is missing;
 * a kind that cannot be read (no root, no such file) is an empty list.
 */
export async function snapshotHost(options: SnapshotOptions = {}): Promise<HostSnapshot> {
  const marks = options.marks ?? OUR_NAMES;
  const isOurs = (text: string): boolean => marks.some((mark) => text.includes(mark));
  return {
    links: await linesOf('ip', ['-o', 'link'], (line) => line.split(': ')[1] ?? line),
    namespaces: entriesOf('/run/netns'),
    nftTables: await linesOf('nft', ['list', 'tables']),
    ipRules: await linesOf('ip', ['rule']),
    sysctls: SYSCTLS.map((name) => `${name} = ${readIfPresent(join('/proc/sys', name)).trim()}`),
    cgroups: cgroupsBelow('/sys/fs/cgroup', 3).filter(isOurs),
    processes: listProcesses().filter(isOurs),
    mounts: readIfPresent('/proc/self/mounts').split('\n').filter(isOurs).sort(),
    files: FILE_PARENTS.flatMap((parent) => entriesOf(parent).map((name) => join(parent, name))).filter(
      isOurs,
    ),
    accounts: ['/etc/passwd', '/etc/group'].flatMap((path) =>
      readIfPresent(path)
        .split('\n')
        .filter((line) => line.startsWith('mvm:'))
        .map((line) => `${path} ${line}`),
    ),
  };
}

/** What `after` has more or less than `before`; empty when nothing was left and nothing was taken away. */
export function diffHost(before: HostSnapshot, after: HostSnapshot): HostDifference[] {
  return (Object.keys(before) as (keyof HostSnapshot)[]).flatMap((kind) => [
    ...missingFrom(before[kind], after[kind]).map((item) => ({ kind, change: 'added' as const, item })),
    ...missingFrom(after[kind], before[kind]).map((item) => ({ kind, change: 'removed' as const, item })),
  ]);
}

function missingFrom(known: readonly string[], items: readonly string[]): string[] {
  const set = new Set(known);
  return items.filter((item) => !set.has(item));
}

async function linesOf(
  command: string,
  args: readonly string[],
  pick: (line: string) => string = (line) => line.trim(),
): Promise<string[]> {
  const { stdout, failed, code } = await execa(command, args, { reject: false, stdin: 'ignore' });
  if (code === 'ENOENT' && command === 'ip') throw new Error('the ip command is missing');
  if (failed) return [];
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(pick)
    .sort();
}

function entriesOf(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch {
    return [];
  }
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Directories of every hierarchy, by path; version 1 hierarchies and version 2 alike, down to `depth` levels. */
function cgroupsBelow(dir: string, depth: number): string[] {
  if (depth < 0) return [];
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => {
        const path = join(dir, entry.name);
        return [path, ...cgroupsBelow(path, depth - 1)];
      })
      .sort();
  } catch {
    return [];
  }
}

/** `pid command line` of every process but the caller. */
function listProcesses(): string[] {
  return entriesOf('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map((pid) => {
      const commandLine = readIfPresent(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
      return commandLine === '' ? '' : `${pid} ${commandLine}`;
    })
    .filter((line) => line !== '');
}
