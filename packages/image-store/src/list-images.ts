import { readBlob, readNameRecord, readNames, sizeOf } from './read-store.js';
import { findDamage } from './resolve-image.js';

/** An image as the store lists it; has the shape of the contract's `ImageView`. */
export interface ImageListing {
  readonly name: string;
  /** `sha256:<64 hex>`; empty when the name's record is damaged. */
  readonly digest: string;
  /** RFC 3339, UTC; empty when the name's record is damaged. */
  readonly created_at: string;
  readonly size_bytes: number;
  /** Empty, or why the image cannot be used. */
  readonly problem: string;
}

/**
 * Every registered image, sorted by name; `problem` says why one cannot be used. An absent store is an empty one.
 * Errors: `permission_denied` (`image.permission_denied`) when the store may not be read.
 */
export async function listImages(root: string): Promise<ImageListing[]> {
  const views: ImageListing[] = [];
  for (const name of await readNames(root)) {
    views.push(await viewOf(root, name));
  }
  return views;
}

async function viewOf(root: string, name: string): Promise<ImageListing> {
  const record = await readNameRecord(root, name);
  if (record === undefined) {
    return { name, digest: '', created_at: '', size_bytes: 0, problem: 'its record is damaged' };
  }
  const { digest, created_at } = record;
  const blob = await readBlob(root, digest);
  switch (blob.kind) {
    case 'missing':
      return { name, digest, created_at, size_bytes: 0, problem: 'its files are missing' };
    case 'damaged':
      return { name, digest, created_at, size_bytes: 0, problem: blob.problem };
    case 'present': {
      const problem = (await findDamage(blob.dir, blob.manifest)) ?? '';
      return { name, digest, created_at, size_bytes: sizeOf(blob.manifest), problem };
    }
  }
}
