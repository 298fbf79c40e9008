import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, open } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { checkMagic, MAGIC_BYTES } from './file-magic.js';
import type { ImagePart } from './layout.js';
import type { ManifestPart } from './manifest.js';
import { errnoOf, toStoreError } from './store-error.js';

/**
 * Modification time of every file in a blob, milliseconds since the epoch. Whoever writes to such a file changes it,
 * which makes a check of size and time at each start a cheap substitute for hashing.
 */
export const BLOB_MTIME_MS = 1_000_000_000_000;

const CHUNK_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export interface CopyOptions {
  readonly part: ImagePart;
  readonly source: string;
  /** Null: the file is only read, checked and hashed. */
  readonly target: string | null;
  /** Link the source to the target, unless that is impossible there. */
  readonly link?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each chunk with the number of bytes done of this file. */
  readonly onBytes?: ((copiedBytes: number) => void) | undefined;
}

/** Opens a file that will become part of an image: regular, not a symbolic link. The caller closes it. */
export async function openSource(part: ImagePart, path: string): Promise<FileHandle> {
  // O_NONBLOCK: opening a named pipe must not wait for its writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let file: FileHandle;
  try {
    file = await open(path, flags);
  } catch (error) {
    throw sourceError(error, part, path);
  }
  if (!(await file.stat()).isFile()) {
    await file.close();
    throw notRegular(part, path, 'is not a regular file');
  }
  return file;
}

/**
 * Copies a file into a new one at `target` (when there is one), hashing on the way, and fsyncs it. Runs of zeros become holes. The copy
 * is 0444 with the modification time {@link BLOB_MTIME_MS}.
 *
 * Errors: `invalid_argument` (`image.bad_file`, `image.wrong_format`), `not_found` (`image.file_not_found`),
 * `aborted` (`image.source_changed`), and those of {@link toStoreError}.
 */
export async function copyPart(options: CopyOptions): Promise<ManifestPart> {
  const { part, source, target } = options;
  const from = await openSource(part, source);
  let to: FileHandle | undefined;
  try {
    const before = await from.stat();
    const head = Buffer.alloc(MAGIC_BYTES);
    const { bytesRead } = await from.read(head, 0, head.length, 0);
    checkMagic(part, head.subarray(0, bytesRead), before.size, source);
    const isLinked = options.link === true && target !== null && (await linked(source, target));
    if (target !== null && !isLinked) to = await open(target, 'wx', 0o600);
    const hash = createHash('sha256');
    const size = await pump(from, to, hash, options);
    const after = await from.stat();
    if (isLinked) to = await open(target, 'r');
    if (size !== before.size || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
      throw new CodedError({
        code: 'aborted',
        reason: 'image.source_changed',
        message: `${source} changed while it was being copied`,
        details: { path: source, part },
        hint: 'wait until whatever writes it is done, then add the image again',
      });
    }
    if (!isLinked) await to?.truncate(size);
    await to?.chmod(0o444);
    await to?.utimes(BLOB_MTIME_MS / 1000, BLOB_MTIME_MS / 1000);
    await to?.sync();
    return { sha256: hash.digest('hex'), size };
  } catch (error) {
    throw toStoreError(error, { doing: `copy the ${part} ${source}`, path: target ?? source });
  } finally {
    await to?.close();
    await from.close();
  }
}

/** Hex sha256 of an open file's whole content. */
export async function hashFile(file: FileHandle): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, offset);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

/** False where a link is impossible: on another file system, or when there are too many. */
async function linked(source: string, target: string): Promise<boolean> {
  try {
    await link(source, target);
    return true;
  } catch (error) {
    if (['EXDEV', 'EMLINK', 'EPERM', 'ENOTSUP'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

async function pump(
  from: FileHandle,
  to: FileHandle | undefined,
  hash: Hash,
  options: CopyOptions,
): Promise<number> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = 0; ; ) {
    options.signal?.throwIfAborted();
    const { bytesRead } = await from.read(chunk, 0, chunk.length, offset);
    if (bytesRead === 0) return offset;
    const data = chunk.subarray(0, bytesRead);
    hash.update(data);
    if (to !== undefined && !data.equals(ZEROS.subarray(0, bytesRead))) await writeFully(to, data, offset);
    offset += bytesRead;
    options.onBytes?.(offset);
  }
}

/** A full disk shows as a short write first, as ENOSPC only at the next one. */
async function writeFully(to: FileHandle, data: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await to.write(data, done, data.length - done, offset + done);
    done += bytesWritten;
  }
}

function sourceError(error: unknown, part: ImagePart, path: string): CodedError {
  const errno = errnoOf(error);
  if (errno === 'ELOOP') return notRegular(part, path, 'is a symbolic link');
  if (errno === 'ENXIO') return notRegular(part, path, 'is not a regular file');
  if (errno === 'ENOENT' || errno === 'ENOTDIR') {
    return new CodedError({
      code: 'not_found',
      reason: 'image.file_not_found',
      message: `the ${part} ${path} does not exist`,
      details: { path, part },
      hint: 'check the path; it is relative to the directory in which you run the command',
    });
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new CodedError({
      code: 'permission_denied',
      reason: 'image.permission_denied',
      message: `the ${part} ${path} may not be read`,
      details: { path, part },
      hint: 'run the command with sudo, or make the file readable',
    });
  }
  return toStoreError(error, { doing: `open the ${part}`, path });
}

function notRegular(part: ImagePart, path: string, what: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_file',
    message: `the ${part} ${path} ${what}`,
    details: { path, part },
    hint: 'images are made of regular files only; for a link, pass what it points to (realpath shows it)',
  });
}
