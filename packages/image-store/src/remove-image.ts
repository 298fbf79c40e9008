/**
 * INVARIANTS
 * - A blob is removed only when no name refers to it, neither as its current digest nor as a previous one. No name changes
 *   meanwhile: see `withNames`.
 */
import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '@mvm/node-host';
import { withNames } from './add-image.js';
import { imageNotFound } from './image-errors.js';
import { blobDir, blobsDir, isBlobName, nameFile, namesDir, parseImageName } from './layout.js';
import { readdirIfThere, readNameRecord, readNames } from './read-store.js';
import { errnoOf, toStoreError } from './store-error.js';
import { withTransferDir } from './transfer-dir.js';

export interface RemovedImage {
  readonly name: string;
  /** Digests whose files were deleted, `sha256:<64 hex>`; empty when other names share the content. */
  readonly deleted: readonly string[];
}

/**
 * Removes a name, and every blob that no name refers to any more. A process that has a file of it open keeps it until
 * it closes it. Errors: `not_found` (`image.not_found`), `invalid_argument` (`image.invalid_name`),
 * `permission_denied` (`image.permission_denied`).
 */
export async function removeImage(root: string, imageName: string): Promise<RemovedImage> {
  const name = parseImageName(imageName);
  try {
    if (!(await readNames(root)).includes(name)) throw imageNotFound(name);
    await withNames(root, async () => {
      // First: on a full disk this makes room for the directory that the content is moved to. What a crash leaves, the next
      // removal deletes.
      await unlink(nameFile(root, name)).catch((error: unknown) => {
        throw errnoOf(error) === 'ENOENT' ? imageNotFound(name) : error;
      });
      await syncDirectory(namesDir(root));
    });
    return await withTransferDir(root, async (dir) => ({
      name,
      deleted: await withNames(root, () => deleteUnreferenced(root, dir)),
    }));
  } catch (error) {
    throw toStoreError(error, { doing: `remove image ${name}`, path: root });
  }
}

/** Deletes the files that no name refers to, under `withNames`; `dir` is the caller's transfer directory. Their digests, sorted. */
export async function deleteUnreferenced(root: string, dir: string): Promise<string[]> {
  const deleted: string[] = [];
  const before = await referencedDigests(root);
  for (const entry of await readdirIfThere(blobsDir(root))) {
    const digest = `sha256:${entry}`;
    if (!isBlobName(entry) || before.has(digest)) continue;
    if (await moved(blobDir(root, digest), join(dir, entry))) deleted.push(digest);
  }
  await syncDirectory(blobsDir(root));
  return deleted.sort();
}

async function referencedDigests(root: string): Promise<Set<string>> {
  const digests = new Set<string>();
  for (const name of await readNames(root)) {
    const record = await readNameRecord(root, name);
    for (const digest of record === undefined ? [] : [record.digest, ...record.previous]) digests.add(digest);
  }
  return digests;
}

/** False when the source is gone or the target taken: someone else was quicker. */
async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTEMPTY' || errno === 'EEXIST') return false;
    throw error;
  }
}
