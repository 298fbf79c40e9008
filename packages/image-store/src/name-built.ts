import { join } from 'node:path';
import { type AddedImage, outcomeOf, pointName, withNames } from './add-image.js';
import { blobsDir, isBlobName, parseImageName } from './layout.js';
import { readBlob, readdirIfThere, sizeOf } from './read-store.js';
import { findDamage } from './resolve-image.js';
import { toStoreError } from './store-error.js';
import { withTransferDir } from './transfer-dir.js';

/**
 * Points the name at an imported image with this build key, if the store has one that is sound. Undefined when it has
 * none. Errors: as `addImage`.
 */
export async function nameBuilt(
  root: string,
  imageName: string,
  buildKey: string,
): Promise<AddedImage | undefined> {
  const name = parseImageName(imageName);
  try {
    for (const entry of await readdirIfThere(blobsDir(root))) {
      if (!isBlobName(entry)) continue;
      const digest = `sha256:${entry}`;
      const blob = await readBlob(root, digest);
      if (blob.kind !== 'present' || blob.manifest.schema_version !== 2) continue;
      if (blob.manifest.origin.build_key !== buildKey) continue;
      if ((await findDamage(blob.dir, blob.manifest)) !== undefined) continue;
      const outcome = await withTransferDir(root, (dir) =>
        withNames(root, async () => {
          // A removal at the same time may have taken it.
          if ((await readBlob(root, digest)).kind !== 'present') return undefined;
          return outcomeOf(await pointName(root, dir, name, digest), digest, false);
        }),
      );
      if (outcome === undefined) return undefined;
      return { name, digest, sizeBytes: sizeOf(blob.manifest), outcome };
    }
    return undefined;
  } catch (error) {
    throw toStoreError(error, { doing: `name image ${name}`, path: join(root, 'names') });
  }
}
