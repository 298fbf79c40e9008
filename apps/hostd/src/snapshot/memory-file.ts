/** A memory image's file, written and checked at the speed of the disk: reading, hashing and writing overlap. */
import { type FileHandle, open } from 'node:fs/promises';
import { beginChecksum, type ImageChecksum } from './checksum.js';

/** As much is read, hashed or written at once. */
const BATCH_BYTES = 1_048_576;
/** As much is written before the disk is asked to begin with it. */
const FLUSH_BYTES = 4 * BATCH_BYTES;

/**
 * Writes a stream to the end of a file and makes it durable; its length and checksum. While one batch is written, the
 * next one is taken in and hashed; what was written goes to the disk meanwhile, so that little is left for the last
 * fsync. Memory: two batches.
 */
export async function writeDurably(
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
): Promise<{ bytes: number; checksum: ImageChecksum }> {
  const checksum = beginChecksum();
  let bytes = 0;
  let batch: Uint8Array[] = [];
  let batched = 0;
  let unflushed = 0;
  let writing = Promise.resolve();
  let flushed = Promise.resolve();
  let isFlushing = false;
  try {
    for await (const piece of source) {
      checksum.update(piece);
      bytes += piece.byteLength;
      batch.push(piece);
      batched += piece.byteLength;
      if (batched < BATCH_BYTES) continue;
      await writing;
      writing = observed(writeAll(file, batch));
      unflushed += batched;
      [batch, batched] = [[], 0];
      if (unflushed < FLUSH_BYTES || isFlushing) continue;
      [unflushed, isFlushing] = [0, true];
      flushed = observed(
        file.datasync().then(() => {
          isFlushing = false;
        }),
      );
    }
    await writing;
    await writeAll(file, batch);
    // The kernel tells of a lost write once: after a flush that failed there was no other, and the last fsync may succeed.
    await flushed;
  } finally {
    // The file is closed after this: nothing may still be under way.
    await Promise.allSettled([writing, flushed]);
  }
  await file.sync();
  return { bytes, checksum: checksum.finish() };
}

/** A hole of this size, or more, is left out of an image's file. */
const HOLE = Buffer.alloc(65_536);

/**
 * The same for an image of memory, which is not compressed: where it has nothing but zeros, the file has holes. A piece is
 * written before the next one is asked for.
 */
export async function writeImageDurably(
  file: FileHandle,
  source: AsyncIterable<Uint8Array>,
): Promise<{ bytes: number; checksum: ImageChecksum }> {
  const checksum = beginChecksum();
  let bytes = 0;
  let unflushed = 0;
  let flushed = Promise.resolve();
  let isFlushing = false;
  try {
    for await (const piece of source) {
      const writing = observed(
        writeFilled(file, piece, bytes).then((written) => {
          unflushed += written;
        }),
      );
      checksum.update(piece);
      bytes += piece.byteLength;
      await writing;
      if (unflushed < FLUSH_BYTES || isFlushing) continue;
      [unflushed, isFlushing] = [0, true];
      flushed = observed(
        file.datasync().then(() => {
          isFlushing = false;
        }),
      );
    }
    // What ends in a hole is as long as the memory all the same.
    await file.truncate(bytes);
    await flushed;
  } finally {
    await Promise.allSettled([flushed]);
  }
  await file.sync();
  return { bytes, checksum: checksum.finish() };
}

/** Writes what of a piece is not zeros; how much that is. */
async function writeFilled(file: FileHandle, piece: Uint8Array, position: number): Promise<number> {
  const isHole = (at: number): boolean => {
    const block = piece.subarray(at, at + HOLE.length);
    return HOLE.compare(block, 0, block.length, 0, block.length) === 0;
  };
  let written = 0;
  for (let from = 0; from < piece.length; ) {
    let to = from;
    while (to < piece.length && !isHole(to)) to += HOLE.length;
    const end = Math.min(to, piece.length);
    for (let at = from; at < end; ) {
      const { bytesWritten } = await file.write(piece, at, end - at, position + at);
      at += bytesWritten;
      written += bytesWritten;
    }
    // It ended, or this block is a hole.
    from = to + HOLE.length;
  }
  return written;
}

/**
 * Whether a whole file has this checksum. While one batch is looked at, the next one is read. Memory: two batches. Throws
 * the signal's reason once it is aborted.
 */
export async function hasChecksum(
  path: string,
  expected: ImageChecksum,
  signal?: AbortSignal,
): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const checksum = beginChecksum(expected);
    let [seen, read] = [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)];
    let reading = file.read(seen, 0, BATCH_BYTES, null);
    for (;;) {
      const { bytesRead } = await reading;
      signal?.throwIfAborted();
      if (bytesRead === 0) return checksum.finish().value === expected.value;
      reading = file.read(read, 0, BATCH_BYTES, null);
      checksum.update(seen.subarray(0, bytesRead));
      [seen, read] = [read, seen];
    }
  } finally {
    await file.close();
  }
}

/** The same promise, whose failure is seen later, or not at all when another came first. */
function observed(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  let rest = pieces;
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest);
    rest = withoutFirst(rest, bytesWritten);
  }
}

/** What of the pieces lies behind their first `count` bytes. */
function withoutFirst(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  let skip = count;
  for (const piece of pieces) {
    if (skip < piece.byteLength) left.push(piece.subarray(skip));
    skip = Math.max(0, skip - piece.byteLength);
  }
  return left;
}
