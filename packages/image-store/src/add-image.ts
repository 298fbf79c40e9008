/**
 * INVARIANTS
 * - A blob stands under its digest complete or not at all: it is built below `tmp/`, fsynced, then renamed.
 * - A name points at a blob that is there: the name is written after the blob, and the blob is looked for again after
 *   that; when a concurrent removal took it in between, the add starts over. (A removal that sees the new name puts
 *   the blob back itself.)
 */
import { chmod, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { renameDurably, syncDirectory, writeNewFile } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { hashParts } from './hash-parts.js';
import { blobDir, type ImagePart, nameFile, parseImageName } from './layout.js';
import {
  encodeManifest,
  type ImageOrigin,
  manifestDigest,
  type NameRecord,
  parseKernelArgs,
} from './manifest.js';
import { readBlob, readNameRecord, sizeOf } from './read-store.js';
import { readParts } from './stage-parts.js';
import { errnoOf, toStoreError } from './store-error.js';
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

/** How often an add starts over because a concurrent removal took the blob from under it. */
const MAX_ATTEMPTS = 3;

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
    const before = await readNameRecord(root, name);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const added = await withTransferDir(root, async (dir) => {
        const manifest = await stage(dir, request, kernelArgs, options);
        const encoded = encodeManifest(manifest);
        const digest = manifestDigest(encoded);
        await writeNewFile(join(dir, 'blob', 'manifest.json'), encoded, 0o444);
        await syncDirectory(join(dir, 'blob'));
        const outcome = await publish(root, dir, { name, digest, before });
        return outcome && { name, digest, sizeBytes: sizeOf(manifest), outcome };
      });
      if (added !== undefined) return added;
    }
    throw new CodedError({
      code: 'aborted',
      reason: 'image.busy',
      message: `image ${name} was removed while it was being added, ${MAX_ATTEMPTS} times over`,
      details: { image: name },
      hint: 'find out what removes it, then add it again',
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

export interface Publication {
  readonly name: string;
  readonly digest: string;
  /** The name's record before this add. */
  readonly before: NameRecord | undefined;
}

/** Undefined when a removal took the blob before the name stood. */
async function publish(
  root: string,
  dir: string,
  publication: Publication,
): Promise<AddedImage['outcome'] | undefined> {
  const { digest, before } = publication;
  const placed = await placeBlob(root, dir, digest);
  if (before?.digest !== digest) await writeName(root, dir, publication);
  if ((await readBlob(root, digest)).kind === 'missing') return undefined;
  return outcomeOf(before, digest, placed);
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

/** Moves the staged blob to its place unless a sound one is there. Whether it did. */
async function placeBlob(root: string, dir: string, digest: string): Promise<boolean> {
  const target = blobDir(root, digest);
  const present = await readBlob(root, digest);
  if (present.kind === 'present' && (await hashParts(present.dir, present.manifest)) === undefined)
    return false;
  try {
    if (present.kind !== 'missing') await rename(target, join(dir, 'damaged'));
    await renameDurably(join(dir, 'blob'), target);
    return true;
  } catch (error) {
    // Another add of the same content was quicker, and what it placed is as good; or a removal was, which shows later.
    const errno = errnoOf(error);
    if (errno === 'ENOTEMPTY' || errno === 'EEXIST' || errno === 'ENOENT') return false;
    throw error;
  }
}

/** Points a name at a digest. */
export async function writeName(
  root: string,
  dir: string,
  { name, digest, before }: Publication,
): Promise<void> {
  const previous =
    before === undefined ? [] : [before.digest, ...before.previous].filter((old) => old !== digest);
  await replaceNameRecord(root, dir, { name, digest, created_at: new Date().toISOString(), previous });
}

/** Writes a name's record; `dir` is the caller's transfer directory. */
export async function replaceNameRecord(root: string, dir: string, record: NameRecord): Promise<void> {
  await writeNewFile(join(dir, 'name.json'), Buffer.from(`${JSON.stringify(record)}\n`), 0o444);
  await renameDurably(join(dir, 'name.json'), nameFile(root, record.name));
}
