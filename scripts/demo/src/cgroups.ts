import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const MOUNT = '/sys/fs/cgroup';

/**
 * Kills whatever is left in the cgroups below `parent`, and removes them, in the version 2 hierarchy and in each
 * version 1 hierarchy. What hostd has removed itself is not missed.
 *
 * PRIVILEGE: other users' processes and root's cgroups. SAFETY: only directories named exactly `parent`, which
 * carries this demo's random id.
 */
export async function removeCgroups(parent: string): Promise<void> {
  const hierarchies = [MOUNT, ...subdirectories(MOUNT)];
  for (const dir of hierarchies
    .map((hierarchy) => join(hierarchy, parent))
    .filter((path) => existsSync(path))) {
    const deadline = performance.now() + 5000;
    for (;;) {
      const groups = [...descendants(dir), dir];
      for (const group of groups) for (const pid of membersOf(group)) kill(pid);
      for (const group of groups) remove(group);
      if (!existsSync(dir)) break;
      if (performance.now() > deadline) throw new Error(`the cgroup ${dir} cannot be removed`);
      await sleep(50);
    }
  }
}

/** Deepest first. */
function descendants(dir: string): string[] {
  return subdirectories(dir).flatMap((child) => [...descendants(child), child]);
}

function subdirectories(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(dir, entry.name));
  } catch {
    return [];
  }
}

function membersOf(group: string): number[] {
  try {
    return readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Already gone.
  }
}

function remove(group: string): void {
  try {
    rmdirSync(group);
  } catch {
    // Still busy, or already gone: the caller looks again.
  }
}
