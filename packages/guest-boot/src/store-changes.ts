import { mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lockHandle, withDirectoryLock } from '@mvm/node-host';
import { CodedError, isCodedError } from '@mvm/protocol';

/**
 * INVARIANTS
 * - One process at a time changes what stands under a name.
 * - What is unfinished is in a directory `.work-*` of the store, which its process has locked. The next command removes
 *   those that no process has locked.
 */

/** Run `change` while no other process changes the store. It must take no longer than renames do. */
export async function withStore<T>(root: string, change: () => Promise<T>): Promise<T> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  return withDirectoryLock(root, change);
}

/** Run `use` with an empty directory in the store that is gone afterwards, or, when this process is killed, soon. */
export async function withWorkDir<T>(root: string, use: (dir: string) => Promise<T>): Promise<T> {
  const { dir, handle } = await withStore(root, async () => {
    await removeUnfinished(root);
    const made = await mkdtemp(join(root, '.work-'));
    const opened = await open(made, 'r');
    await lockHandle(opened, 0);
    return { dir: made, handle: opened };
  });
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
    await handle.close();
  }
}

/** Also what earlier versions left. */
const UNFINISHED = /^\.(?:work|add|fetch|removed)-/;

async function removeUnfinished(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!UNFINISHED.test(name)) continue;
    // Its process may remove it at this moment.
    const handle = await open(join(root, name), 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      return null;
    });
    if (handle === null) continue;
    try {
      if (await lockHandle(handle, 0)) await rm(join(root, name), { recursive: true, force: true });
    } finally {
      await handle.close();
    }
  }
}

/**
 * What the file system threw, as a CodedError: `kernel.permission_denied`, `kernel.no_space` (`resource_exhausted`),
 * `kernel.busy` (`aborted`), else `kernel.io` (`internal`).
 */
export function toKernelError(error: unknown, doing: string): CodedError {
  if (isCodedError(error)) return error;
  const errno = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? '') : '';
  const message = `cannot ${doing}: ${error instanceof Error ? error.message : String(error)}`;
  const base = { message, cause: error };
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return new CodedError({
        ...base,
        code: 'permission_denied',
        reason: 'kernel.permission_denied',
        hint: 'Kernels belong to root: run the command with sudo.',
      });
    case 'ENOSPC':
    case 'EDQUOT':
      return new CodedError({
        ...base,
        code: 'resource_exhausted',
        reason: 'kernel.no_space',
        hint: 'Free some space (df -h shows where), or remove a kernel that no import needs: mvm kernel remove.',
      });
    case 'EAGAIN':
      return new CodedError({
        ...base,
        code: 'aborted',
        reason: 'kernel.busy',
        hint: 'Find the command that changes kernels (fuser shows it), or wait for its end, then repeat this one.',
      });
    default:
      return new CodedError({ ...base, code: 'internal', reason: 'kernel.io' });
  }
}
