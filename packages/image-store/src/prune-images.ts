import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceNameRecord } from './add-image.js';
import { blobsDir, isBlobName, nameFile } from './layout.js';
import { readdirIfThere, readNameRecord, readNames } from './read-store.js';
import { deleteUnreferenced } from './remove-image.js';
import { toStoreError } from './store-error.js';
import { withTransferDir } from './transfer-dir.js';

export interface PruneOptions {
  /** Digests that are needed, though they may be older versions of a name. */
  readonly keepDigests: ReadonlySet<string>;
  /** Names that are needed; undefined: every one. */
  readonly keepNames?: ReadonlySet<string> | undefined;
  /** Only tells what would go. */
  readonly dryRun: boolean;
}

export interface PrunedImages {
  readonly names: readonly string[];
  /** Digests whose files were deleted. */
  readonly deleted: readonly string[];
}

/** Removes older versions, names and files that nothing needs any more. Errors: those of `removeImage`. */
export async function pruneImages(root: string, options: PruneOptions): Promise<PrunedImages> {
  const { keepDigests, keepNames, dryRun } = options;
  try {
    const removed: string[] = [];
    const referenced = new Set<string>();
    const shortened: (readonly [name: string, previous: string[]])[] = [];
    for (const name of await readNames(root)) {
      const record = await readNameRecord(root, name);
      if (record === undefined) continue;
      if (keepNames !== undefined && !keepNames.has(name)) {
        removed.push(name);
        continue;
      }
      const previous = record.previous.filter((digest) => keepDigests.has(digest));
      for (const digest of [record.digest, ...previous]) referenced.add(digest);
      if (previous.length < record.previous.length) shortened.push([name, previous]);
    }
    const blobs = (await readdirIfThere(blobsDir(root))).filter(isBlobName).map((entry) => `sha256:${entry}`);
    if (dryRun) return { names: removed, deleted: blobs.filter((digest) => !referenced.has(digest)).sort() };
    if (blobs.length === 0 && removed.length === 0) return { names: [], deleted: [] };
    return await withTransferDir(root, async (dir) => {
      for (const name of removed) await unlink(nameFile(root, name));
      for (const [name, previous] of shortened) {
        const record = await readNameRecord(root, name);
        if (record !== undefined) await replaceNameRecord(root, dir, { ...record, previous });
      }
      return { names: removed, deleted: await deleteUnreferenced(root, dir) };
    });
  } catch (error) {
    throw toStoreError(error, { doing: 'prune images', path: join(root) });
  }
}
