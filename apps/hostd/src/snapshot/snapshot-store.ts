/**
 * A snapshot on disk: the directory `snapshots/delta` with `meta.json` and a file for each part of the saved VM.
 *
 * INVARIANTS
 * - The final name holds a whole snapshot or nothing: everything is written and fsynced under `delta.tmp`, then renamed.
 * - A snapshot is used once. `consume` renames it to `delta.used` before the guest runs again; only the process that has
 *   done so, and knows that the guest has not run, renames it back.
 */
import { type BigIntStats, createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { errnoOf, fromFileError } from '../state/fs-error.js';
import type { InstanceAddress, Layout } from '../state/layout.js';
import type { RestoredPart, SavedPart } from '../vmm/vmm.js';
import { type Compression, compress, decompress } from './compression.js';
import { parseManifest, renderManifest, type SnapshotManifest, type StoredPart } from './manifest.js';
import { hasChecksum, writeDurably, writeImageDurably } from './memory-file.js';
import { seal, unseal } from './seal.js';

export interface SnapshotPaths {
  readonly committed: string;
  readonly temporary: string;
  readonly used: string;
}

/** Where the snapshot of an instance stands, given its `snapshots` directory. */
export function snapshotPaths(snapshotsDir: string): SnapshotPaths {
  return {
    committed: join(snapshotsDir, 'delta'),
    temporary: join(snapshotsDir, 'delta.tmp'),
    used: join(snapshotsDir, 'delta.used'),
  };
}

/** How a saved VM is kept: `key` null is in plain. */
export interface Keeping {
  readonly compression: Compression;
  readonly key: Buffer | null;
}

/**
 * Streams a saved VM into the temporary directory and fsyncs it, part by part. Never writes plaintext when there is a key.
 * Returns the manifest's `parts`. On any error the temporary directory is gone. Errors: `resource_exhausted`, reason
 * `disk.full`, and whatever the source throws.
 */
export async function writeParts(
  paths: SnapshotPaths,
  parts: AsyncIterable<SavedPart>,
  keeping: Keeping,
): Promise<StoredPart[]> {
  const stored: StoredPart[] = [];
  await rm(paths.temporary, { recursive: true, force: true });
  await mkdir(paths.temporary, { recursive: true, mode: 0o700 });
  try {
    for await (const part of parts) stored.push(await writePart(paths.temporary, part, keeping));
    return stored;
  } catch (error) {
    await rm(paths.temporary, { recursive: true, force: true });
    throw asDiskError(error, paths.temporary);
  }
}

async function writePart(
  directory: string,
  part: SavedPart,
  { compression, key }: Keeping,
): Promise<StoredPart> {
  const file = await open(join(directory, part.name), 'wx', 0o600);
  try {
    let plainBytes = 0;
    const counted = (async function* () {
      for await (const piece of part.bytes) {
        plainBytes += piece.byteLength;
        yield piece;
      }
    })();
    const isImage = part.isImage === true && compression === 'none' && key === null;
    const squeezed = compress(compression, counted);
    const { bytes, checksum } = isImage
      ? await writeImageDurably(file, counted)
      : await writeDurably(file, key ? seal(key, squeezed) : squeezed);
    return {
      name: part.name,
      compression,
      sealed: key !== null,
      plain_bytes: plainBytes,
      stored_bytes: bytes,
      checksum,
      ...(isImage ? { image: identityOf(await file.stat({ bigint: true })) } : {}),
    };
  } finally {
    await file.close();
  }
}

/** What of a file changes with it, whoever changes it. */
function identityOf({ ino, mtimeNs, ctimeNs }: BigIntStats): NonNullable<StoredPart['image']> {
  return { inode: String(ino), mtime_ns: String(mtimeNs), ctime_ns: String(ctimeNs) };
}

/** Writes `meta.json` beside the unfinished memory image; durable when it returns. Errors: `disk.full`. */
export async function stageManifest(paths: SnapshotPaths, manifest: SnapshotManifest): Promise<void> {
  try {
    const file = await open(join(paths.temporary, 'meta.json'), 'wx', 0o600);
    try {
      await file.writeFile(renderManifest(manifest));
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(paths.temporary);
  } catch (error) {
    await rm(paths.temporary, { recursive: true, force: true });
    throw asDiskError(error, paths.temporary);
  }
}

/** Gives the staged snapshot its final name, in place of an older one; durable when it returns. */
export async function commitSnapshot(paths: SnapshotPaths): Promise<void> {
  await rm(paths.committed, { recursive: true, force: true });
  await rename(paths.temporary, paths.committed);
  await syncDirectory(dirname(paths.committed));
}

/** The committed snapshot's manifest, or null when there is none. Errors: `snapshot.damaged`. */
export async function readManifest(paths: SnapshotPaths): Promise<SnapshotManifest | null> {
  let text: string;
  try {
    text = await readFile(join(paths.committed, 'meta.json'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return parseManifest(text);
  } catch (cause) {
    throw damaged(paths, 'its meta.json cannot be read', cause);
  }
}

/** The manifest of an instance's snapshot. Throws `failed_precondition`, `snapshot.missing` or `snapshot.damaged`. */
export async function requireManifest(
  address: InstanceAddress,
  layout: Pick<Layout, 'snapshotsDir'>,
): Promise<SnapshotManifest> {
  const manifest = await readManifest(snapshotPaths(layout.snapshotsDir(address)));
  if (manifest !== null) return manifest;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.missing',
    message: `instance ${address.instance_id} has no snapshot`,
    hint: 'Stop the instance, then start it fresh; its data volume is kept.',
  });
}

/**
 * Checks size and checksum of every stored part against the manifest. An image whose file nobody has touched since it was
 * written is not read: that is left to `checkUsedImages`. Errors: `snapshot.damaged`; the signal's reason once it is aborted.
 */
export async function verifyParts(
  paths: SnapshotPaths,
  { parts }: SnapshotManifest,
  signal?: AbortSignal,
): Promise<void> {
  for (const { name, stored_bytes, checksum, image } of parts) {
    const path = join(paths.committed, name);
    const size = await stat(path).then(
      (entry) => entry.size,
      () => -1,
    );
    if (size !== stored_bytes)
      throw damaged(paths, `its ${name} has ${size} bytes instead of ${stored_bytes}`);
    if (image !== undefined && (await isUntouched(path, image))) continue;
    if (!(await hasChecksum(path, checksum, signal))) {
      throw damaged(paths, `its ${name} does not have the recorded checksum`);
    }
  }
}

async function isUntouched(path: string, image: NonNullable<StoredPart['image']>): Promise<boolean> {
  const now = identityOf(await stat(path, { bigint: true }));
  return Object.entries(image).every(([name, value]) => now[name as keyof typeof now] === value);
}

/**
 * Reads the images of a used snapshot, whose guest runs already. Nothing when the snapshot is discarded, or is being
 * discarded: that comes after this check. Errors: `snapshot.damaged`.
 */
export async function checkUsedImages(paths: SnapshotPaths): Promise<void> {
  const used = { ...paths, committed: paths.used };
  for (const { name, checksum, image } of (await readManifest(used))?.parts ?? []) {
    if (image === undefined) continue;
    const isGood = await hasChecksum(join(paths.used, name), checksum).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return true;
      throw damaged(used, `its ${name} cannot be read`, error);
    });
    if (!isGood) throw damaged(used, `its ${name} does not have the recorded checksum`);
  }
}

/**
 * The saved VM's parts as the VMM wrote them; images, and those in plain of at most `maxFileBytes`, as files too. Errors: `snapshot.key_missing`; while reading, `snapshot.unseal_failed`,
 * `snapshot.compressor`.
 */
export function savedParts(
  paths: SnapshotPaths,
  { parts }: SnapshotManifest,
  { key, maxFileBytes }: { readonly key: Buffer | null; readonly maxFileBytes: number },
): RestoredPart[] {
  if (key === null && parts.some(({ sealed }) => sealed)) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'snapshot.key_missing',
      message: 'the snapshot is sealed and the tenant has no key on this host',
      hint: "put the tenant's key back where it was when the instance went to sleep",
    });
  }
  return parts.map((part) => {
    const path = join(paths.committed, part.name);
    const stored = readLazily(path);
    const squeezed = part.sealed && key ? unseal(key, stored) : stored;
    const isPlain = part.compression === 'none' && !part.sealed;
    return {
      name: part.name,
      bytes: decompress(part.compression, squeezed),
      file: isPlain && (part.image !== undefined || part.stored_bytes <= maxFileBytes) ? path : null,
    };
  });
}

/** A file's bytes. It is opened at the first read, so that an unread one needs no close. */
async function* readLazily(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
}

/** The point of no return: from now on this snapshot is never loaded again. Durable when it returns. */
export async function consumeSnapshot(paths: SnapshotPaths): Promise<void> {
  await discardSnapshots(paths, 'used');
  await rename(paths.committed, paths.used);
  await syncDirectory(dirname(paths.committed));
}

/**
 * The used snapshot is the committed one again. The caller knows that its guest has run no instruction and never will.
 * Durable when it returns; a crash before leaves it used.
 */
export async function returnSnapshot(paths: SnapshotPaths): Promise<void> {
  await rename(paths.used, paths.committed);
  await syncDirectory(dirname(paths.committed));
}

/** Removes what is half-written, what is used up, or every snapshot there is. Repeating it changes nothing. */
export async function discardSnapshots(
  paths: SnapshotPaths,
  what: 'unfinished' | 'used' | 'all',
): Promise<void> {
  const doomed = {
    unfinished: [paths.temporary],
    used: [paths.used],
    all: [paths.temporary, paths.used, paths.committed],
  }[what];
  for (const path of doomed) await rm(path, { recursive: true, force: true });
}

/** The files with a guest's memory below an instance's `snapshots` directory, whole or half-written. */
export async function savedFiles(snapshotsDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const directory of Object.values(snapshotPaths(snapshotsDir)) as string[]) {
    const names = await readdir(directory).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw fromFileError(error, `cannot read ${directory}`);
    });
    found.push(...names.filter((name) => name !== 'meta.json').map((name) => join(directory, name)));
  }
  return found;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function damaged(paths: SnapshotPaths, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.damaged',
    message: `the snapshot ${paths.committed} cannot be used: ${why}`,
    hint: 'it is kept as it is; stop the instance to discard it and start fresh',
    cause,
  });
}

function asDiskError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'disk.full',
    message: `no space left for the snapshot ${path}`,
    hint: 'free space under the state directory, or choose a snapshot_compression for the pool, and try again',
    cause: error,
  });
}
