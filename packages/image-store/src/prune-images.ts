import { unlink } from 'node:fs/promises';
import { replaceNameRecord, withNames } from './add-image.js';
import { blobsDir, isBlobName, nameFile } from './layout.js';
import type { NameRecord } from './manifest.js';
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

interface Needless {
  readonly names: readonly string[];
  readonly digests: readonly string[];
  /** Names that keep fewer versions. */
  readonly shortened: readonly NameRecord[];
}

/** Removes older versions, names and files that nothing needs any more. Errors: those of `removeImage`. */
export async function pruneImages(root: string, options: PruneOptions): Promise<PrunedImages> {
  try {
    const found = await findNeedless(root, options);
    if (options.dryRun) return { names: found.names, deleted: found.digests };
    // There is no store yet, and none is made.
    if ((await readdirIfThere(root)).length === 0) return { names: [], deleted: [] };
    return await withTransferDir(root, (dir) =>
      withNames(root, async () => {
        // Again, now that nothing else changes it.
        const { names, shortened } = await findNeedless(root, options);
        for (const name of names) await unlink(nameFile(root, name));
        for (const record of shortened) await replaceNameRecord(root, dir, record);
        return { names, deleted: await deleteUnreferenced(root, dir) };
      }),
    );
  } catch (error) {
    throw toStoreError(error, { doing: 'prune images', path: root });
  }
}

async function findNeedless(root: string, { keepDigests, keepNames }: PruneOptions): Promise<Needless> {
  const names: string[] = [];
  const referenced = new Set<string>();
  const shortened: NameRecord[] = [];
  for (const name of await readNames(root)) {
    const record = await readNameRecord(root, name);
    if (record === undefined) continue;
    if (keepNames !== undefined && !keepNames.has(name)) {
      names.push(name);
      continue;
    }
    const previous = record.previous.filter((digest) => keepDigests.has(digest));
    for (const digest of [record.digest, ...previous]) referenced.add(digest);
    if (previous.length < record.previous.length) shortened.push({ ...record, previous });
  }
  const blobs = (await readdirIfThere(blobsDir(root))).filter(isBlobName).map((entry) => `sha256:${entry}`);
  return { names, digests: blobs.filter((digest) => !referenced.has(digest)).sort(), shortened };
}
