import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { hashPart } from './hash-parts.js';
import { damaged, imageNotFound } from './image-errors.js';
import { BLOB_FILES, parseImageReference } from './layout.js';
import type { Manifest } from './manifest.js';
import { glanceAtPart, type PartEntry, partsOf, readBlob, readNameRecord } from './read-store.js';
import { toStoreError } from './store-error.js';

/** An image whose files are there; paths are absolute when the store's root is. */
export interface ResolvedImage {
  readonly name: string;
  /** `sha256:<64 hex>`. */
  readonly digest: string;
  readonly dir: string;
  readonly kernelPath: string;
  readonly initrdPath: string | null;
  readonly rootfsPath: string;
  readonly kernelArgs: string;
  readonly manifest: Manifest;
}

/**
 * Finds the image that `name` or `name@sha256:<hex>` refers to. With a digest, an older version of the name is found
 * too, as long as the store still has it. Files are checked by size and modification time, and hashed only when the
 * time is not the one that adding gave them.
 *
 * Errors: `invalid_argument` (`image.invalid_name`, `image.invalid_digest`), `not_found` (`image.not_found`),
 * `failed_precondition` (`image.digest_mismatch`, `image.damaged`).
 */
export async function resolveImage(root: string, ref: string): Promise<ResolvedImage> {
  const wanted = parseImageReference(ref);
  const record = await readNameRecord(root, wanted.name);
  const digest = wanted.digest ?? record?.digest;
  if (digest === undefined) throw imageNotFound(wanted.name);
  const blob = await readBlob(root, digest);
  if (blob.kind === 'missing') {
    if (record === undefined) throw imageNotFound(wanted.name);
    if (record.digest !== digest) throw digestMismatch(wanted.name, digest, record.digest);
    throw damaged(wanted.name, 'its files are missing');
  }
  if (blob.kind === 'damaged') throw damaged(wanted.name, blob.problem);
  const problem = await findDamage(blob.dir, blob.manifest);
  if (problem !== undefined) throw damaged(wanted.name, problem);
  return {
    name: wanted.name,
    digest,
    dir: blob.dir,
    kernelPath: join(blob.dir, BLOB_FILES.kernel),
    initrdPath: blob.manifest.initrd === null ? null : join(blob.dir, BLOB_FILES.initrd),
    rootfsPath: join(blob.dir, BLOB_FILES.rootfs),
    kernelArgs: blob.manifest.kernel_args,
    manifest: blob.manifest,
  };
}

/** Files that were hashed and right, by path, as they were then; the newest last. */
const hashed = new Map<string, string>();
const MAX_HASHED = 512;

/**
 * The cheap check: size and modification time. A file whose time was changed, for example by restoring a backup, is hashed
 * once, and again when its inode changes.
 */
export async function findDamage(dir: string, manifest: Manifest): Promise<string | undefined> {
  for (const entry of partsOf(dir, manifest)) {
    const finding = await glanceAtPart(entry);
    if (typeof finding === 'object') return finding.problem;
    if (finding === 'intact') continue;
    const state = await stateOf(entry);
    if (hashed.get(entry.path) === state) continue;
    const problem = await hashPart(entry);
    if (problem !== undefined) return problem;
    hashed.delete(entry.path);
    hashed.set(entry.path, state);
    const oldest = hashed.keys().next().value;
    if (hashed.size > MAX_HASHED && oldest !== undefined) hashed.delete(oldest);
  }
  return undefined;
}

/** The change time cannot be set by a program, so that no write to the file goes unseen. */
async function stateOf({ path, sha256 }: PartEntry): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [sha256, dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    throw toStoreError(error, { doing: 'read the image store', path });
  }
}

function digestMismatch(name: string, wanted: string, registered: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'image.digest_mismatch',
    message: `image ${name} is registered with ${registered}, not with ${wanted}`,
    details: { image: name, wanted, registered },
    hint: 'refer to the registered digest, or add the wanted version: mvm image add',
  });
}
