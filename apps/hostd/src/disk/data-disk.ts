import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncDirectory } from '../state/atomic-file.js';
import { exists } from '../state/exists.js';
import { fromFileError } from '../state/fs-error.js';
import { runMkfs } from './e2fs-tools.js';

const MIB = 1_048_576;

/**
 * Makes an instance's data disk, a sparse ext4 image of `sizeMib`; one that is there is never touched, whatever its
 * size. Durable when it returns; on any error nothing is left. Mode 0600, root. Errors: `disk.*`, `state.*`.
 */
export async function ensureDataDisk(options: {
  readonly path: string;
  readonly sizeMib: number;
}): Promise<void> {
  const { path, sizeMib } = options;
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-disk`);
  try {
    if (await exists(path)) return;
    await formatDataDisk(temporary, sizeMib);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw fromFileError(error, `cannot make ${path}`);
  }
}

/**
 * A file of `sizeMib` with an empty ext4, sparse and durable, 0600. `features` as mkfs.ext4's -O. On an error a part of it
 * may be left.
 */
export async function formatDataDisk(
  path: string,
  sizeMib: number,
  features: readonly string[] = [],
): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.truncate(sizeMib * MIB);
    await runMkfs([
      ...['-L', 'mvm-data', '-m', '0'],
      ...(features.length === 0 ? [] : ['-O', features.join(',')]),
      ...['-E', 'lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0'],
      path,
    ]);
    await file.sync();
  } finally {
    await file.close();
  }
}
