import { type FileHandle, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

// What fails here is thrown as Node.js has it: whoever owns the file knows what to say about it.

let sequence = 0;

/** Whether a directory entry is a temporary file that a killed `writeFileAtomic` left. */
export function isTemporaryName(name: string): boolean {
  return /^\..+\.tmp-\d+-\d+$/.test(name);
}

/** Make a directory's entries durable. Source: fsync(2). */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Rename, and make the rename durable in the target's directory. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncDirectory(dirname(to));
}

/**
 * Write a new file and fsync it; an existing one is never overwritten. On failure nothing is left. `FileHandle.writeFile`
 * repeats short writes, so a full disk fails instead of cutting the file short.
 */
export async function writeNewFile(path: string, data: string | Uint8Array, mode: number): Promise<void> {
  let file: FileHandle | null = await open(path, 'wx', mode);
  try {
    await file.writeFile(data);
    // The mode of `open` is cut by the umask.
    await file.chmod(mode);
    await file.sync();
    await file.close();
    file = null;
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(path, { force: true }).catch(() => {});
    throw error;
  }
}

/**
 * Replace a file so that whoever reads it, after whatever crash or full disk, finds the old content or the new one: a
 * temporary file beside it, written, fsynced, renamed, directory fsynced. Mode 0600. On error nothing has changed and no
 * temporary file is left. There is no cheaper variant: renamed without the first fsync, a loss of power leaves a file of
 * zeros. Source: fsync(2), rename(2).
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = await writeTemporary(path, data);
  try {
    await renameDurably(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** Write a new file beside `path`. A killed process that had this one's pid may have left one of the same name. */
async function writeTemporary(path: string, data: string | Uint8Array): Promise<string> {
  for (;;) {
    sequence += 1;
    const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${sequence}`);
    try {
      await writeNewFile(temporary, data, 0o600);
      return temporary;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** Remove what killed writers left in a directory that no process writes to now. */
export async function removeTemporaryFiles(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (isTemporaryName(name)) await rm(join(dir, name), { force: true });
  }
}

/** The text of a file, or null when it does not exist. */
export async function readFileIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
