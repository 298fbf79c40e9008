import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, fromFileError } from './fs-error.js';

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

/**
 * Replace a file so that whoever reads it, after whatever crash or full disk, finds the old text or the new one: a
 * temporary file beside it, written, fsynced, renamed, directory fsynced. Mode 0600. On error nothing has changed and
 * no temporary file is left. There is no cheaper variant: renamed without the first fsync, a loss of power leaves a file
 * of zeros.
 */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  sequence += 1;
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${sequence}`);
  let handle: FileHandle | null = null;
  try {
    handle = await open(temporary, 'wx', 0o600);
    await handle.writeFile(text, 'utf8');
    await handle.sync();
    await handle.close();
    handle = null;
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await handle?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    throw fromFileError(error, `cannot write ${path}`);
  }
}

/** The text of a file, or null when it does not exist. */
export async function readFileIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fromFileError(error, `cannot read ${path}`);
  }
}

/** Make a directory 0700 (and its missing parents); one that exists is left as it is. */
export async function makePrivateDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fromFileError(error, `cannot make ${path}`);
  }
}
