import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { type Descriptor, MAX_DOCUMENT_BYTES } from './documents.js';
import { badLayout } from './errors.js';

/** A directory that holds an image's files. */
export interface BlobStore {
  /** The document to begin with: an index, or a manifest. */
  readonly top: string;
  /** File of a digest, already checked to be one. */
  path(digest: string): string;
}

/** Source: OCI image specification, image-layout.md. */
export function ociLayout(directory: string): BlobStore {
  return {
    top: join(directory, 'index.json'),
    path: (digest) => join(directory, 'blobs', ...digest.split(':')),
  };
}

/** As `skopeo copy … dir:` writes it. */
export function skopeoDirectory(directory: string): BlobStore {
  return {
    top: join(directory, 'manifest.json'),
    path: (digest) => join(directory, digest.split(':')[1] ?? ''),
  };
}

/** Reads a document; undefined when there is none. Throws `image.bad_layout` when it is no regular file or too large. */
export async function readDocument(path: string): Promise<Buffer | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // A FIFO would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const errno = (error as NodeJS.ErrnoException).code;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const found = await file.stat();
    const { size } = found;
    if (!found.isFile()) throw badLayout('a document is no regular file');
    if (size > MAX_DOCUMENT_BYTES) throw badLayout(`a document of ${size} bytes is too large`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** Reads the document that a descriptor names. Throws `image.bad_layout`, `image.bad_digest`. */
export async function readDescribed(store: BlobStore, descriptor: Descriptor, what: string): Promise<Buffer> {
  const bytes = await readDocument(store.path(descriptor.digest));
  if (bytes === undefined) throw badLayout(`${what} ${descriptor.digest} is missing`);
  checkDigest(bytes, descriptor.digest, what);
  return bytes;
}

/** Throws `image.bad_digest`. */
export function checkDigest(bytes: Buffer, wanted: string, what: string): void {
  const algorithm = wanted.split(':')[0] ?? 'sha256';
  const found = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  if (found === wanted) return;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_digest',
    message: `${what} does not have its digest: ${found} instead of ${wanted}`,
    details: { wanted, found },
    hint: 'the image was damaged or changed on its way; fetch it again',
  });
}
