/**
 * A snapshot on disk: the directory `snapshots/delta` with `memory` and `meta.json`.
 *
 * INVARIANTS
 * - The final name holds a whole snapshot or nothing: everything is written and fsynced under `delta.tmp`, then renamed.
 * - A snapshot is used once. `consume` renames it to `delta.used` before the guest runs again; nothing ever renames back.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { type Compression, compress, decompress } from './compression.js';
import { type SnapshotManifest, snapshotManifestSchema } from './manifest.js';
import { hasChecksum, writeDurably } from './memory-file.js';
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

/**
 * Streams a memory image into the temporary directory and fsyncs it. Never writes plaintext when there is a key.
 * Returns the manifest's `memory` part. On any error the temporary directory is gone. Errors: `resource_exhausted`,
 * reason `disk.full`, and whatever the source throws.
 */
export async function writeMemoryImage(
  paths: SnapshotPaths,
  source: AsyncIterable<Uint8Array>,
  options: { readonly compression: Compression; readonly key: Buffer | null },
): Promise<SnapshotManifest['memory']> {
  await rm(paths.temporary, { recursive: true, force: true });
  await mkdir(paths.temporary, { recursive: true, mode: 0o700 });
  let file: FileHandle | null = null;
  try {
    file = await open(join(paths.temporary, 'memory'), 'wx', 0o600);
    let plainBytes = 0;
    const counted = (async function* () {
      for await (const piece of source) {
        plainBytes += piece.byteLength;
        yield piece;
      }
    })();
    const squeezed = compress(options.compression, counted);
    const stored = options.key ? seal(options.key, squeezed) : squeezed;
    const { bytes: storedBytes, checksum } = await writeDurably(file, stored);
    return {
      file: 'memory',
      compression: options.compression,
      sealed: options.key !== null,
      plain_bytes: plainBytes,
      stored_bytes: storedBytes,
      checksum,
    };
  } catch (error) {
    await file?.close().catch(() => undefined);
    file = null;
    await rm(paths.temporary, { recursive: true, force: true });
    throw asDiskError(error, paths.temporary);
  } finally {
    await file?.close();
  }
}

/** Writes `meta.json` beside the unfinished memory image; durable when it returns. Errors: `disk.full`. */
export async function stageManifest(paths: SnapshotPaths, manifest: SnapshotManifest): Promise<void> {
  try {
    const file = await open(join(paths.temporary, 'meta.json'), 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(snapshotManifestSchema.parse(manifest), null, 2)}\n`);
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
    return snapshotManifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(paths, 'its meta.json cannot be read', cause);
  }
}

/**
 * Checks size and checksum of the stored memory image against the manifest. Errors: `snapshot.damaged`; the signal's reason
 * once it is aborted.
 */
export async function verifyMemoryImage(
  paths: SnapshotPaths,
  manifest: SnapshotManifest,
  signal?: AbortSignal,
): Promise<void> {
  const path = join(paths.committed, manifest.memory.file);
  const size = await stat(path).then(
    (entry) => entry.size,
    () => -1,
  );
  if (size !== manifest.memory.stored_bytes) {
    throw damaged(paths, `the memory image has ${size} bytes instead of ${manifest.memory.stored_bytes}`);
  }
  if (!(await hasChecksum(path, manifest.memory.checksum, signal))) {
    throw damaged(paths, 'the memory image does not have the recorded checksum');
  }
}

/** The memory image as the VMM wrote it. Errors while reading: `snapshot.unseal_failed`, `snapshot.compressor`. */
export function readMemoryImage(
  paths: SnapshotPaths,
  manifest: SnapshotManifest,
  key: Buffer | null,
): AsyncIterable<Uint8Array> {
  if (manifest.memory.sealed && key === null) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'snapshot.key_missing',
      message: 'the snapshot is sealed and the tenant has no key on this host',
      hint: "put the tenant's key back where it was when the instance went to sleep",
    });
  }
  const stored = readLazily(join(paths.committed, manifest.memory.file));
  const squeezed = manifest.memory.sealed && key ? unseal(key, stored) : stored;
  return decompress(manifest.memory.compression, squeezed);
}

/** A file's bytes. It is opened when somebody begins to read: nobody has to, and nobody else would close it. */
async function* readLazily(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
}

/** Larger images go through a stream: while a VMM reads a file itself, it answers nobody. */
const MAX_DIRECT_BYTES = 2 * 2 ** 30;

/** The file whose bytes are exactly those of `readMemoryImage`; null when they have to be unsealed or decompressed. */
export function plainMemoryFile(paths: SnapshotPaths, { memory }: SnapshotManifest): string | null {
  const isPlain = memory.compression === 'none' && !memory.sealed;
  return isPlain && memory.stored_bytes <= MAX_DIRECT_BYTES ? join(paths.committed, memory.file) : null;
}

/** The point of no return: from now on this snapshot is never loaded again. Durable when it returns. */
export async function consumeSnapshot(paths: SnapshotPaths): Promise<void> {
  await rm(paths.used, { recursive: true, force: true });
  await rename(paths.committed, paths.used);
  await syncDirectory(dirname(paths.committed));
}

/** Removes what is half-written, or every snapshot there is. Repeating it changes nothing. */
export async function discardSnapshots(paths: SnapshotPaths, what: 'unfinished' | 'all'): Promise<void> {
  const doomed = what === 'all' ? [paths.temporary, paths.used, paths.committed] : [paths.temporary];
  for (const path of doomed) await rm(path, { recursive: true, force: true });
}

/** Where memory images may stand below an instance's `snapshots` directory. */
export function memoryImagePaths(snapshotsDir: string): string[] {
  return Object.values(snapshotPaths(snapshotsDir)).map((directory: string) => join(directory, 'memory'));
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
