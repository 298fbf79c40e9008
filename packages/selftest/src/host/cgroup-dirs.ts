import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

/** Every directory called `parent`, in version 2 and in each version 1 hierarchy. */
async function roots(parent: string): Promise<string[]> {
  const places = [ROOT, ...(await directories(ROOT))];
  const found = await Promise.all(places.map(async (place) => await directories(place)));
  return found.flat().filter((path) => path.endsWith(`/${parent}`));
}

/** The cgroups below `parent`: `<hierarchy's path>/<name>`, sorted. */
export async function listCgroups(parent: string): Promise<string[]> {
  const all = await Promise.all((await roots(parent)).map(directories));
  return all.flat().sort();
}

/** Remove the cgroups called `parent` with what is below; processes in them are killed first. */
export async function removeCgroups(parent: string): Promise<void> {
  for (const root of await roots(parent)) {
    for (const path of [...(await directories(root)), root]) await removeCgroup(path);
  }
}

async function removeCgroup(path: string): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const processes = await readFile(join(path, 'cgroup.procs'), 'utf8').catch(() => '');
    for (const pid of processes.split('\n').filter((line) => /^[1-9]\d*$/.test(line))) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Gone meanwhile.
      }
    }
    try {
      await rmdir(path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  throw new Error(`${path} cannot be removed`);
}
