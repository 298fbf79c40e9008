/**
 * A cgroup per VM, in whichever cgroup version this host has.
 *
 * INVARIANTS
 * - `create` returns only after every limit has been read back.
 * - In a tree that systemd manages, VMs' cgroups are below the unit that it delegates to us, and of its own cgroups we make,
 *   change and remove none (delegation.ts).
 * - `attach` returns only after the kernel names our cgroup for the process, in every hierarchy.
 */
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../state/fs-error.js';
import {
  cgroupPids,
  listCgroups,
  makeCgroup,
  readControl,
  removeCgroup,
  untilEmpty,
  writeControl,
} from './cgroup-tree.js';
import { checkDelegation, enableControllers, type ParentPath, splitParent } from './delegation.js';
import { CONTROLLERS, type Controller, findHierarchies, type Hierarchies } from './hierarchies.js';
import type { CgroupLimits } from './limits.js';

/** What a cgroup's processes use and may use; null where the kernel does not tell. */
export interface CgroupStats {
  readonly memoryMaxBytes: number | null;
  readonly memoryCurrentBytes: number | null;
  readonly cpuMaxPercent: number | null;
  readonly pidsMax: number | null;
  readonly pidsCurrent: number | null;
}

/** Every call may be repeated. Names are 1–63 characters of `a-z A-Z 0-9 _ -`. */
export interface Cgroups {
  readonly version: 1 | 2;
  /** Where the hierarchy is mounted; of several, the memory controller's. */
  readonly root: string;
  /** Errors: `cgroup.limit_not_taken`. */
  create(name: string, limits: CgroupLimits): Promise<void>;
  /** Moves all threads of a process. Errors: `cgroup.not_attached`. */
  attach(name: string, pid: number): Promise<void>;
  stats(name: string): Promise<CgroupStats>;
  /** CPU time of its processes since it was made, in microseconds; null where no hierarchy of ours counts it. */
  cpuUsec(name: string): Promise<number | null>;
  /** Memory that its processes use; null where the kernel does not tell. */
  memoryBytes(name: string): Promise<number | null>;
  /** SIGKILL to all processes, and wait until they are gone. Errors: `cgroup.still_busy`. */
  kill(name: string): Promise<void>;
  /** Errors: `cgroup.still_busy` while it holds processes. */
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
}

const PERIOD_US = 100_000;

/**
 * The VMs' cgroups below `parent`, a relative path such as `mvm`. Throws `failed_precondition`, reasons
 * `cgroup.unavailable` and `cgroup.not_delegated`, and `invalid_argument`, reason `cgroup.bad_parent`. `hierarchies` is
 * found when absent.
 */
export async function createCgroups(options: {
  readonly parent: string;
  readonly hierarchies?: Hierarchies;
}): Promise<Cgroups> {
  const { parent } = options;
  // SAFETY: the path comes from the host's configuration, and must not leave the hierarchy.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,7}$/.test(parent)) {
    throw badParent(parent, 'is not a relative path');
  }
  const path = splitParent(parent);
  // Everything right below the parent is taken for a VM's cgroup: in a unit that would be other services.
  if (path.own === '') throw badParent(parent, 'ends with a unit of systemd');
  const found =
    options.hierarchies ??
    findHierarchies(await readFile('/proc/self/mountinfo', 'utf8'), (root) =>
      readFileSync(join(root, 'cgroup.controllers'), 'utf8'),
    );
  if (found.version === 1) return splitCgroups(found.roots, parent);
  await checkDelegation(found.root, path);
  return unifiedCgroups(found.root, path);
}

function badParent(parent: string, why: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'cgroup.bad_parent',
    message: `the cgroup parent ${JSON.stringify(parent)} ${why}`,
    hint: 'Give a relative path such as mvm or mvm.slice/mvm-vms.service/vms.',
  });
}

function unifiedCgroups(root: string, { unit, own }: ParentPath): Cgroups {
  const base = join(root, unit);
  const path = (name: string): string => join(base, own, checkName(name));
  return {
    version: 2,
    root,
    async create(name, limits) {
      const directory = await makeCgroup(base, own, checkName(name), (above) =>
        enableControllers(above, unit),
      );
      await writeControl(directory, 'memory.max', String(limits.memoryMaxBytes));
      if ((await readControl(directory, 'memory.swap.max')) !== null) {
        await writeControl(directory, 'memory.swap.max', '0');
      }
      await writeControl(directory, 'cpu.max', `${quotaUs(limits)} ${PERIOD_US}`);
      await writeControl(directory, 'pids.max', String(limits.pidsMax));
    },
    attach: (name, pid) =>
      attach(root, join(unit, own), checkName(name), pid, (line) => line.startsWith('0::')),
    async stats(name) {
      const directory = path(name);
      const [quota, period] = (await readControl(directory, 'cpu.max'))?.split(' ') ?? [];
      return {
        memoryMaxBytes: toNumber(await readControl(directory, 'memory.max')),
        memoryCurrentBytes: toNumber(await readControl(directory, 'memory.current')),
        cpuMaxPercent: toPercent(quota, period),
        pidsMax: toNumber(await readControl(directory, 'pids.max')),
        pidsCurrent: toNumber(await readControl(directory, 'pids.current')),
      };
    },
    memoryBytes: async (name) => toNumber(await readControl(path(name), 'memory.current')),
    async cpuUsec(name) {
      const text = await readControl(path(name), 'cpu.stat');
      return toNumber(/^usage_usec (\d+)$/m.exec(text ?? '')?.[1] ?? null);
    },
    async kill(name) {
      const directory = path(name);
      try {
        await writeFile(join(directory, 'cgroup.kill'), '1', { flag: 'r+' });
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
        await killEach(directory);
      }
      await untilEmpty(directory);
    },
    remove: (name) => removeCgroup(base, own, checkName(name)),
    list: () => listCgroups(base, own),
  };
}

function splitCgroups(roots: Readonly<Record<Controller, string>>, parent: string): Cgroups {
  // Two controllers may share one mount (cpu,cpuacct does); each directory is then made and removed once.
  const distinct = [...new Set(Object.values(roots))];
  const path = (controller: Controller, name: string): string =>
    join(roots[controller], parent, checkName(name));
  return {
    version: 1,
    root: roots.memory,
    async create(name, limits) {
      for (const root of distinct) await makeCgroup(root, parent, checkName(name));
      await limitMemory(path('memory', name), limits.memoryMaxBytes);
      await writeControl(path('cpu', name), 'cpu.cfs_period_us', String(PERIOD_US));
      await writeControl(path('cpu', name), 'cpu.cfs_quota_us', String(quotaUs(limits)));
      await writeControl(path('pids', name), 'pids.max', String(limits.pidsMax));
    },
    async attach(name, pid) {
      for (const controller of CONTROLLERS) {
        await attach(roots[controller], parent, checkName(name), pid, (line) =>
          (line.split(':')[1] ?? '').split(',').includes(controller),
        );
      }
    },
    async stats(name) {
      return {
        memoryMaxBytes: toNumber(await readControl(path('memory', name), 'memory.limit_in_bytes')),
        memoryCurrentBytes: toNumber(await readControl(path('memory', name), 'memory.usage_in_bytes')),
        cpuMaxPercent: toPercent(
          (await readControl(path('cpu', name), 'cpu.cfs_quota_us')) ?? undefined,
          (await readControl(path('cpu', name), 'cpu.cfs_period_us')) ?? undefined,
        ),
        pidsMax: toNumber(await readControl(path('pids', name), 'pids.max')),
        pidsCurrent: toNumber(await readControl(path('pids', name), 'pids.current')),
      };
    },
    memoryBytes: async (name) => toNumber(await readControl(path('memory', name), 'memory.usage_in_bytes')),
    async cpuUsec(name) {
      // There when cpuacct is mounted together with cpu, as systemd does; in nanoseconds.
      const nanoseconds = toNumber(await readControl(path('cpu', name), 'cpuacct.usage'));
      return nanoseconds === null ? null : Math.floor(nanoseconds / 1000);
    },
    async kill(name) {
      for (const controller of CONTROLLERS) await killEach(path(controller, name));
      for (const controller of CONTROLLERS) await untilEmpty(path(controller, name));
    },
    async remove(name) {
      for (const root of distinct) await removeCgroup(root, parent, checkName(name));
    },
    async list() {
      const names = await Promise.all(distinct.map((root) => listCgroups(root, parent)));
      return [...new Set(names.flat())].sort();
    },
  };
}

/**
 * Memory, and memory with swap together, of a version 1 cgroup: nothing of a guest is swapped, as with `memory.swap.max`
 * of version 2. Kernels without swap accounting have the swappiness alone. Source: Linux, cgroup-v1/memory.rst.
 */
async function limitMemory(directory: string, bytes: number): Promise<void> {
  const withSwap = 'memory.memsw.limit_in_bytes';
  const countsSwap = (await readControl(directory, withSwap)) !== null;
  // The limit of both may not be below that of memory, whichever is changed first.
  if (countsSwap) await writeFile(join(directory, withSwap), '-1');
  await writeControl(directory, 'memory.limit_in_bytes', String(bytes));
  if (countsSwap) await writeControl(directory, withSwap, String(bytes));
  if ((await readControl(directory, 'memory.swappiness')) !== null) {
    await writeControl(directory, 'memory.swappiness', '0');
  }
}

/** PRIVILEGE: moving a process into a cgroup needs write access to both ends of the move. */
async function attach(
  root: string,
  parent: string,
  name: string,
  pid: number,
  isHierarchy: (line: string) => boolean,
): Promise<void> {
  await writeFile(join(root, parent, name, 'cgroup.procs'), String(pid));
  const lines = (await readFile(`/proc/${pid}/cgroup`, 'utf8')).trim().split('\n');
  const line = lines.find(isHierarchy);
  // The path is relative to our cgroup namespace's root, which may lie above the mount's: so the end is compared.
  if (line?.endsWith(`/${parent}/${name}`) !== true) {
    throw new CodedError({
      code: 'internal',
      reason: 'cgroup.not_attached',
      message: `process ${pid} is in ${line ?? 'no cgroup'} instead of ${parent}/${name}`,
    });
  }
}

async function killEach(directory: string): Promise<void> {
  // A process may fork between the reading and the signal; each round sees what the round before left.
  for (let round = 0; round < 100; round += 1) {
    const pids = await cgroupPids(directory);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if (errnoOf(error) !== 'ESRCH') throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function checkName(name: string): string {
  // SAFETY: a name becomes a directory's name under /sys/fs/cgroup.
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(name)) return name;
  throw new Error(`not a cgroup name: ${JSON.stringify(name)}`);
}

function quotaUs(limits: CgroupLimits): number {
  return Math.round((limits.cpuMaxPercent * PERIOD_US) / 100);
}

function toNumber(text: string | null): number | null {
  return text === null || !/^\d+$/.test(text) ? null : Number(text);
}

function toPercent(quota: string | undefined, period: string | undefined): number | null {
  const us = Number(quota);
  return Number.isFinite(us) && us > 0 && Number(period) > 0 ? (us / Number(period)) * 100 : null;
}
