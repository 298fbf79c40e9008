/**
 * INVARIANTS
 * - Whatever is being written lives in a directory of its own below `tmp/`, named after the process that writes it:
 *   `<pid>.<start time>.<random>`. Nothing outside `tmp/` is ever half-written.
 * - The directory of a process that is gone (pid and start time both count) is unowned and is removed by the
 *   next writer; that of a living process is never touched by another.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readStartTime } from '@mvm/node-host';
import { blobsDir, namesDir, tmpDir } from './layout.js';

/** Creates the store's directories where they are missing; `root` and what is above it only root may enter. */
export async function ensureStore(root: string): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const dir of [blobsDir(root), namesDir(root), tmpDir(root)]) {
    await mkdir(dir, { recursive: true, mode: 0o755 });
  }
}

/** Runs `use` with a fresh directory below `tmp/` that is gone afterwards, whatever happens. */
export async function withTransferDir<T>(root: string, use: (dir: string) => Promise<T>): Promise<T> {
  await ensureStore(root);
  await removeOrphans(root);
  const own = await readStartTime(process.pid);
  const dir = join(tmpDir(root), `${process.pid}.${own ?? '0'}.${randomBytes(6).toString('hex')}`);
  await mkdir(dir, { mode: 0o700 });
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function removeOrphans(root: string): Promise<void> {
  for (const entry of await readdir(tmpDir(root))) {
    const match = /^(\d+)\.(\d+)\.[0-9a-f]+$/.exec(entry);
    if (match === null) continue;
    if ((await readStartTime(Number(match[1]))) === match[2]) continue;
    await rm(join(tmpDir(root), entry), { recursive: true, force: true });
  }
}
