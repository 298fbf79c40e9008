/**
 * Directories of one cgroup hierarchy.
 *
 * INVARIANTS
 * - Only directories below `root` are made, changed or removed; names have passed the grammar.
 * - A parent that holds no VM any more is removed with the last one, so that a host is left as it was found.
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';
import { errnoOf } from '../state/fs-error.js';

const RETRY_MS = 5;
const PATIENCE_MS = 5_000;

/** The text of one control file, trimmed; null when the kernel has no such file. */
export async function readControl(directory: string, file: string): Promise<string | null> {
  try {
    return (await readFile(join(directory, file), 'utf8')).trim();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENODEV') return null;
    throw error;
  }
}

/**
 * Writes a control file and reads it back; the kernel may round or refuse silently. Throws `internal`, reason
 * `cgroup.limit_not_taken`. PRIVILEGE: cgroup files belong to root.
 */
export async function writeControl(directory: string, file: string, value: string): Promise<void> {
  await writeFile(join(directory, file), value);
  const taken = await readControl(directory, file);
  if (taken !== value) {
    throw new CodedError({
      code: 'internal',
      reason: 'cgroup.limit_not_taken',
      message: `${join(directory, file)} holds ${taken ?? 'nothing'} after ${value} was written`,
      hint: 'look at the limits of the parent cgroup',
    });
  }
}

/** Makes `<root>/<parent>/<name>`; one that is there is left alone. `prepare` is called for `root` and each parent. */
export async function makeCgroup(
  root: string,
  parent: string,
  name: string,
  prepare?: (directory: string) => Promise<void>,
): Promise<string> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      let directory = root;
      await prepare?.(directory);
      for (const part of parent.split('/')) {
        directory = join(directory, part);
        await mkdir(directory).catch(ignore('EEXIST'));
        await prepare?.(directory);
      }
      directory = join(directory, name);
      await mkdir(directory).catch(ignore('EEXIST'));
      return directory;
    } catch (error) {
      // The last VM's removal may have taken the parent away between two steps.
      if (errnoOf(error) !== 'ENOENT' || attempt >= 10) throw error;
    }
  }
}

/** Processes of a cgroup; none when it does not exist. */
export async function cgroupPids(directory: string): Promise<number[]> {
  const text = await readControl(directory, 'cgroup.procs');
  return text === null || text === '' ? [] : text.split('\n').map(Number);
}

/** Waits until a cgroup has no processes. Throws `deadline_exceeded`, reason `cgroup.still_busy`, after 5 s. */
export async function untilEmpty(directory: string): Promise<void> {
  for (let waited = 0; ; waited += RETRY_MS) {
    const pids = await cgroupPids(directory);
    if (pids.length === 0) return;
    if (waited >= PATIENCE_MS) throw stillBusy(directory, pids);
    await sleep(RETRY_MS);
  }
}

/**
 * Removes a cgroup, and the parents that are empty then. Nothing when it is not there. The kernel releases a dead
 * process a moment after its exit is seen, so EBUSY is tried again. Throws `cgroup.still_busy`.
 */
export async function removeCgroup(root: string, parent: string, name: string): Promise<void> {
  const directory = join(root, parent, name);
  for (let waited = 0; ; waited += RETRY_MS) {
    try {
      await rmdir(directory).catch(ignore('ENOENT'));
      break;
    } catch (error) {
      if (errnoOf(error) !== 'EBUSY') throw error;
      if (waited >= PATIENCE_MS) throw stillBusy(directory, await cgroupPids(directory));
      await sleep(RETRY_MS);
    }
  }
  const parts = parent.split('/');
  for (let depth = parts.length; depth > 0; depth -= 1) {
    try {
      await rmdir(join(root, ...parts.slice(0, depth)));
    } catch {
      // Other VMs, or another program's cgroups, are in it: it stays.
      return;
    }
  }
}

/** Names of the cgroups right below the parent, sorted. */
export async function listCgroups(root: string, parent: string): Promise<string[]> {
  try {
    const entries = await readdir(join(root, parent), { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function ignore(expected: string): (error: unknown) => void {
  return (error) => {
    if (errnoOf(error) !== expected) throw error;
  };
}

function stillBusy(directory: string, pids: readonly number[]): CodedError {
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'cgroup.still_busy',
    message: `${directory} still holds processes (${pids.join(', ') || 'none that it names'})`,
    hint: 'a process that cannot be killed is waiting for the kernel: look for hung tasks in the kernel log',
  });
}
