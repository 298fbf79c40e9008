import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from './until.js';

const ROOT = '/sys/fs/cgroup';
const GONE_WITHIN_MS = 5_000;

/** The cgroups directly below those called `parent`, in version 2 and in each version 1 hierarchy: their paths, sorted. */
export async function listCgroups(parent: string): Promise<string[]> {
  const all = await Promise.all((await treesOf(parent)).map(directories));
  return all.flat().sort();
}

/**
 * Removes the cgroups called `parent`, in version 2 and in each version 1 hierarchy, with all below; processes in them are
 * killed first. Throws when one cannot be removed within 5 s.
 *
 * PRIVILEGE: other users' processes and root's cgroups. SAFETY: only directories named exactly `parent`, which is the
 * caller's own.
 */
export async function removeCgroups(parent: string): Promise<void> {
  for (const tree of await treesOf(parent)) {
    for (const path of [...(await below(tree)), tree]) {
      await until(`${path} is removed`, () => removed(path), { timeoutMs: GONE_WITHIN_MS, everyMs: 25 });
    }
  }
}

/** Every directory called `parent`, one or two levels below the mount point. */
async function treesOf(parent: string): Promise<string[]> {
  const places = [ROOT, ...(await directories(ROOT))];
  const found = await Promise.all(places.map(directories));
  return found.flat().filter((path) => path.endsWith(`/${parent}`));
}

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

/** Deepest first. */
async function below(path: string): Promise<string[]> {
  const children = await directories(path);
  const all = await Promise.all(children.map(async (child) => [...(await below(child)), child]));
  return all.flat();
}

async function removed(path: string): Promise<boolean> {
  const processes = await readFile(join(path, 'cgroup.procs'), 'utf8').catch(() => '');
  for (const pid of processes.split('\n').filter((line) => /^[1-9]\d*$/.test(line))) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // Gone meanwhile.
    }
  }
  return rmdir(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );
}
