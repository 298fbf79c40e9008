/**
 * INVARIANTS
 * - A blob stands under its digest complete or not at all: it is built below `tmp/`, fsynced, then renamed.
 * - A name points at a blob that is there: blobs are placed and removed, and names are changed, by one process at a time
 *   (`withNames`).
 * - A name's record is read and replaced under that lock, so that no other add's version is lost.
 */
import { chmod, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { renameDurably, syncDirectory, withDirectoryLock, writeNewFile } from '@mvm/node-host';
import { hashParts } from './hash-parts.js';
import { blobDir, type ImagePart, nameFile, namesDir, parseImageName } from './layout.js';
import {
  encodeManifest,
  type ImageOrigin,
  manifestDigest,
  type NameRecord,
  parseKernelArgs,
} from './manifest.js';
import { readBlob, readNameRecord, sizeOf } from './read-store.js';
import { readParts } from './stage-parts.js';
import { toStoreError } from './store-error.js';
import { ensureStore, withTransferDir } from './transfer-dir.js';

/** What to register. Paths are the caller's own files, opened without following a symbolic link. */
export interface AddImageRequest {
  readonly name: string;
  readonly kernel: string;
  readonly initrd?: string | undefined;
  /** An ext4 or EROFS image. */
  readonly rootfs: string;
  /** At most 1024 printable ASCII characters. */
  readonly kernelArgs: string;
  /** Of an imported image. */
  readonly origin?: ImageOrigin | undefined;
  /** The files are mvm's own and never change again: link them into the store instead of copying them, where possible. */
  readonly link?: boolean | undefined;
}

/** Bytes of all files together; `copiedBytes` reaches `totalBytes` at the end. */
export interface AddImageProgress {
  readonly part: ImagePart;
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

export interface AddImageOptions {
  readonly onProgress?: ((progress: AddImageProgress) => void) | undefined;
  /** Aborting leaves the store as it was; the call then throws `canceled`. */
  readonly signal?: AbortSignal | undefined;
}

export interface AddedImage {
  readonly name: string;
  /** `sha256:<64 hex>`. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** `replaced`: the name pointed at another digest before; `repaired`: the same one, but damaged. */
  readonly outcome: 'added' | 'unchanged' | 'replaced' | 'repaired';
}

/**
 * Copies the files into the store and points the name at them. Repeating it changes nothing; the same content under
 * two names is stored once; when it throws, the store is as it was and nothing is left behind.
 *
 * Errors: `invalid_argument` (`image.invalid_name`, `image.invalid_kernel_args`, `image.bad_file`,
 * `image.wrong_format`), `not_found` (`image.file_not_found`), `aborted` (`image.source_changed`),
 * `resource_exhausted` (`image.no_space`), `permission_denied` (`image.permission_denied`), `canceled`.
 */
export async function addImage(
  root: string,
  request: AddImageRequest,
  options: AddImageOptions = {},
): Promise<AddedImage> {
  const name = parseImageName(request.name);
  const kernelArgs = parseKernelArgs(request.kernelArgs);
  try {
    await ensureStore(root);
    return await withTransferDir(root, async (dir) => {
      const manifest = await stage(dir, request, kernelArgs, options);
      const encoded = encodeManifest(manifest);
      const digest = manifestDigest(encoded);
      await writeNewFile(join(dir, 'blob', 'manifest.json'), encoded, 0o444);
      await syncDirectory(join(dir, 'blob'));
      const outcome = await publish(root, dir, name, digest);
      return { name, digest, sizeBytes: sizeOf(manifest), outcome };
    });
  } catch (error) {
    throw toStoreError(error, { doing: `add image ${name}`, path: root });
  }
}

async function stage(dir: string, request: AddImageRequest, kernelArgs: string, options: AddImageOptions) {
  const staged = join(dir, 'blob');
  await mkdir(staged);
  await chmod(staged, 0o755);
  return readParts(staged, request, kernelArgs, options);
}

/** Changes names, or removes blobs that no name refers to, while no other process does. Takes milliseconds. */
export function withNames<T>(root: string, change: () => Promise<T>): Promise<T> {
  return withDirectoryLock(namesDir(root), change);
}

async function publish(
  root: string,
  dir: string,
  name: string,
  digest: string,
): Promise<AddedImage['outcome']> {
  const target = blobDir(root, digest);
  // Hashing takes seconds, and nothing else waits for it.
  const found = await readBlob(root, digest);
  const isDamaged =
    found.kind === 'damaged' ||
    (found.kind === 'present' && (await hashParts(found.dir, found.manifest)) !== undefined);
  return withNames(root, async () => {
    const { kind } = await readBlob(root, digest);
    const isPlaced = isDamaged || kind !== 'present';
    if (isPlaced) {
      if (kind !== 'missing') await rename(target, join(dir, 'damaged'));
      await renameDurably(join(dir, 'blob'), target);
    }
    return outcomeOf(await pointName(root, dir, name, digest), digest, isPlaced);
  });
}

/** What becomes of a name, `placed` telling whether the blob was not there, or damaged. Pure. */
export function outcomeOf(
  before: NameRecord | undefined,
  digest: string,
  placed: boolean,
): AddedImage['outcome'] {
  if (before === undefined) return 'added';
  if (before.digest !== digest) return 'replaced';
  return placed ? 'repaired' : 'unchanged';
}

/** Points a name at a digest; under {@link withNames}. The name's record before. */
export async function pointName(
  root: string,
  dir: string,
  name: string,
  digest: string,
): Promise<NameRecord | undefined> {
  const before = await readNameRecord(root, name);
  if (before?.digest === digest) return before;
  const previous =
    before === undefined ? [] : [before.digest, ...before.previous].filter((old) => old !== digest);
  await replaceNameRecord(root, dir, { name, digest, created_at: new Date().toISOString(), previous });
  return before;
}

/** Writes a name's record; `dir` is the caller's transfer directory. */
export async function replaceNameRecord(root: string, dir: string, record: NameRecord): Promise<void> {
  await writeNewFile(join(dir, 'name.json'), Buffer.from(`${JSON.stringify(record)}\n`), 0o444);
  await renameDurably(join(dir, 'name.json'), nameFile(root, record.name));
}
