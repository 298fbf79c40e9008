import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';

/**
 * Where things are below the store's root (`<state-dir>/images`):
 *
 *     blobs/<sha256 of manifest.json>/{manifest.json,vmlinux,initrd?,rootfs.ext4}   never changed once there
 *     names/<name>.json                                                            replaced by rename
 *     tmp/<pid>.<start time>.<random>/                                             a transfer under way
 */
export const BLOB_FILES = { kernel: 'vmlinux', initrd: 'initrd', rootfs: 'rootfs.ext4' } as const;

/** The parts of an image that are files. */
export type ImagePart = keyof typeof BLOB_FILES;

/** A reference to an image, taken apart: `name`, or `name@sha256:<64 hex>`. */
export interface ImageReference {
  readonly name: string;
  /** `sha256:<64 hex>`, or null when any version of the name will do. */
  readonly digest: string | null;
}

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The store's root inside a state directory. */
export function imagesDir(stateDir: string): string {
  return join(stateDir, 'images');
}

export function blobsDir(root: string): string {
  return join(root, 'blobs');
}

export function namesDir(root: string): string {
  return join(root, 'names');
}

export function tmpDir(root: string): string {
  return join(root, 'tmp');
}

/** Directory of a blob; `digest` as `sha256:<64 hex>`, already checked. */
export function blobDir(root: string, digest: string): string {
  return join(blobsDir(root), digest.slice('sha256:'.length));
}

/** File of a name that passed {@link parseImageName}. */
export function nameFile(root: string, name: string): string {
  return join(namesDir(root), `${name}.json`);
}

/**
 * A name: 1–63 characters of `a-z 0-9 . _ -`, a letter or digit at both ends.
 * Throws `invalid_argument`, reason `image.invalid_name`.
 */
export function parseImageName(value: string): string {
  if (NAME.test(value)) return value;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'image.invalid_name',
    message: `${quote(value)} is not an image name`,
    details: { name: quote(value) },
    hint: 'use 1–63 characters of a-z, 0-9, ".", "_", "-", with a letter or digit at both ends, e.g. debian-12',
  });
}

/** Throws `invalid_argument`, reason `image.invalid_name` or `image.invalid_digest`. */
export function parseImageReference(value: string): ImageReference {
  const at = value.indexOf('@');
  if (at < 0) return { name: parseImageName(value), digest: null };
  const digest = value.slice(at + 1);
  if (!DIGEST.test(digest)) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'image.invalid_digest',
      message: `${quote(digest)} is not an image digest`,
      details: { reference: quote(value) },
      hint: 'write <name>@sha256:<64 lower-case hex digits>; mvm image list -o wide shows the digests',
    });
  }
  return { name: parseImageName(value.slice(0, at)), digest };
}

/** Whether a file name in `blobs/` is one that this store writes. */
export function isBlobName(entry: string): boolean {
  return DIGEST.test(`sha256:${entry}`);
}

/** A caller's text, escaped and cut, fit for a message. */
function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}
