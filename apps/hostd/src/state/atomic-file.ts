import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as files from '@mvm/node-host';
import { errnoOf, fromFileError } from './fs-error.js';

export { isTemporaryName, syncDirectory } from '@mvm/node-host';

const reserves = new AsyncLocalStorage<files.SpaceReserve>();

/**
 * Do work that frees space or ends VMs: what it writes to the state tree, it can write on a full disk too, out of the
 * reserve. Nothing else may, or the reserve would be used up when it is needed.
 */
export function withSpaceReserve<T>(reserve: files.SpaceReserve, work: () => Promise<T>): Promise<T> {
  return reserves.run(reserve, work);
}

/** Replace a file of the state tree; see `writeFileAtomic` of node-host. Throws what `fromFileError` makes of a failure. */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  const write = reserves.getStore()?.writeFileAtomic ?? files.writeFileAtomic;
  await write(path, text).catch((error: unknown) => {
    throw fromFileError(error, `cannot write ${path}`);
  });
}

/** The text of a file, or null when it does not exist. Throws what `fromFileError` makes of a failure. */
export async function readFileIfThere(path: string): Promise<string | null> {
  return files.readFileIfThere(path).catch((error: unknown) => {
    throw fromFileError(error, `cannot read ${path}`);
  });
}

/** Make a directory 0700 (and its missing parents); one that exists is left as it is. */
export async function makePrivateDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const cause = errnoOf(error) === 'ENOENT' ? await whyNotMade(path, error) : error;
    throw fromFileError(cause, `cannot make ${path}`);
  }
}

/** Node.js says ENOENT for a read-only file system too, when it makes missing parents; without them it is right. */
async function whyNotMade(path: string, error: unknown): Promise<unknown> {
  let missing = path;
  while (missing !== dirname(missing) && !existsSync(dirname(missing))) missing = dirname(missing);
  return mkdir(missing, { mode: 0o700 }).then(
    () => error,
    (cause: unknown) => cause,
  );
}
