import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AddedImage, type AddImageOptions, type AddImageRequest, outcomeOf } from './add-image.js';
import { hashParts } from './hash-parts.js';
import { imageNotFound } from './image-errors.js';
import { blobsDir, isBlobName, namesDir, parseImageName, tmpDir } from './layout.js';
import { encodeManifest, manifestDigest, parseKernelArgs } from './manifest.js';
import { readBlob, readdirIfThere, readNameRecord, readNames, sizeOf } from './read-store.js';
import type { RemovedImage } from './remove-image.js';
import { readParts } from './stage-parts.js';
import { errnoOf, toStoreError } from './store-error.js';

/** Throws EACCES or EROFS unless this process may write there, or below what there is of it. */
async function checkWritable(path: string): Promise<void> {
  try {
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await checkWritable(dirname(path));
  }
}

async function checkStoreWritable(root: string): Promise<void> {
  for (const dir of [blobsDir(root), namesDir(root), tmpDir(root)]) await checkWritable(dir);
}

/**
 * What {@link addImage} would do now: reads and hashes the files as it does, and writes nothing. Throws what that would
 * throw, but for what only writing shows (a full disk).
 */
export async function planAddImage(
  root: string,
  request: AddImageRequest,
  options: AddImageOptions = {},
): Promise<AddedImage> {
  const name = parseImageName(request.name);
  const kernelArgs = parseKernelArgs(request.kernelArgs);
  try {
    await checkStoreWritable(root);
    const before = await readNameRecord(root, name);
    const manifest = await readParts(null, request, kernelArgs, options);
    const digest = manifestDigest(encodeManifest(manifest));
    const present = await readBlob(root, digest);
    const sound =
      present.kind === 'present' && (await hashParts(present.dir, present.manifest)) === undefined;
    return { name, digest, sizeBytes: sizeOf(manifest), outcome: outcomeOf(before, digest, !sound) };
  } catch (error) {
    throw toStoreError(error, { doing: `add image ${name}`, path: root });
  }
}

/**
 * What removing these images one after the other would do now; nothing is removed. Throws what {@link removeImage} would
 * throw for the first that cannot be removed.
 */
export async function planRemoveImages(
  root: string,
  imageNames: readonly string[],
): Promise<readonly RemovedImage[]> {
  const removed: RemovedImage[] = [];
  const gone = { names: new Set<string>(), digests: new Set<string>() };
  for (const imageName of imageNames) {
    const name = parseImageName(imageName);
    try {
      const names = (await readNames(root)).filter((other) => !gone.names.has(other));
      if (!names.includes(name)) throw imageNotFound(name);
      await checkStoreWritable(root);
      gone.names.add(name);
      const kept = new Set<string>();
      for (const other of names) {
        if (other === name) continue;
        const record = await readNameRecord(root, other);
        for (const digest of record === undefined ? [] : [record.digest, ...record.previous])
          kept.add(digest);
      }
      const deleted = (await readdirIfThere(blobsDir(root)))
        .filter(isBlobName)
        .map((entry) => `sha256:${entry}`)
        .filter((digest) => !kept.has(digest) && !gone.digests.has(digest))
        .sort();
      for (const digest of deleted) gone.digests.add(digest);
      removed.push({ name, deleted });
    } catch (error) {
      throw toStoreError(error, { doing: `remove image ${name}`, path: root });
    }
  }
  return removed;
}
