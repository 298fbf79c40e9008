/**
 * A log that a VMM appends to and a guest may fill as fast as it likes, kept small.
 *
 * INVARIANTS
 * - The live file `<path>` is only ever appended to by the VMM and cut to nothing by us; the VMM opens it O_APPEND, so it
 *   goes on at the start. The bytes before it are in `<path>.<first offset>`, of which there is at most one.
 * - Offsets count bytes since the log began: the live file begins where the kept part ends.
 * - What the VMM appends between our last look and the cut is lost: at most one such gap per turn of the log.
 */
import { open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from '../state/fs-error.js';

/** Largest size of the live file in bytes before it is turned; on disk there is up to twice as much. */
const DEFAULT_LOG_LIMIT_BYTES = 1_048_576;
const CHECK_MS = 500;

export interface LogRead {
  /** Offset of the first byte of `data`. */
  readonly offset: number;
  readonly nextOffset: number;
  readonly data: Buffer;
  /** Whether bytes that were asked for are gone. */
  readonly truncated: boolean;
}

interface KeptPart {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/** Turns the log at `path` whenever it has grown over the limit, until `release`; looks twice a second. */
export function keepLogBounded(
  path: string,
  options: { readonly limitBytes?: number; readonly onError?: (error: unknown) => void } = {},
): { release(): void } {
  const limit = options.limitBytes ?? DEFAULT_LOG_LIMIT_BYTES;
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    rotateLog(path, limit)
      .catch((error: unknown) => options.onError?.(error))
      .finally(() => {
        busy = false;
      });
  }, CHECK_MS);
  timer.unref();
  return { release: () => clearInterval(timer) };
}

/** Turns the log once if the live file is over `limitBytes`; keeps the last `limitBytes` of it. True when it did. */
export async function rotateLog(path: string, limitBytes: number): Promise<boolean> {
  const size = await sizeOf(path);
  if (size === null || size <= limitBytes) return false;
  const before = await keptParts(path);
  const newest = await keptPart(path);
  const start = newest === null ? 0 : newest.offset + newest.size;
  const temporary = `${path}.turning`;
  const source = await open(path, 'r');
  try {
    const target = await open(temporary, 'w', 0o600);
    try {
      let at = size - limitBytes;
      const buffer = Buffer.alloc(262_144);
      for (;;) {
        const { bytesRead } = await source.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) break;
        await target.writeFile(buffer.subarray(0, bytesRead));
        at += bytesRead;
        // A guest that writes as fast as we copy must not keep us here.
        if (at >= size + limitBytes) break;
      }
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
  const kept = `${path}.${start + size - limitBytes}`;
  await rename(temporary, kept);
  await truncate(path, 0);
  for (const part of before) if (part !== kept) await rm(part, { force: true });
  return true;
}

/**
 * At most `maxBytes` from `offset` on, or the last ones when it is absent. A log that does not exist yet reads as
 * empty; an offset beyond the end reads as empty at the end.
 */
export async function readLog(options: {
  readonly path: string;
  readonly offset?: number;
  readonly maxBytes: number;
}): Promise<LogRead> {
  const { path, maxBytes } = options;
  const kept = await keptPart(path);
  const liveStart = kept === null ? 0 : kept.offset + kept.size;
  const liveSize = (await sizeOf(path)) ?? 0;
  const first = kept?.offset ?? 0;
  const end = liveStart + liveSize;
  const expected = Math.min(options.offset ?? Math.max(first, end - maxBytes), end);
  const from = Math.max(expected, first);
  const pieces: Buffer[] = [];
  let left = Math.min(maxBytes, end - from);
  let at = from;
  if (kept !== null && at < liveStart && left > 0) {
    const piece = await readRange(kept.path, at - kept.offset, Math.min(left, liveStart - at));
    pieces.push(piece);
    at += piece.length;
    left -= piece.length;
  }
  if (at >= liveStart && left > 0) {
    const piece = await readRange(path, at - liveStart, left);
    pieces.push(piece);
    at += piece.length;
  }
  return { offset: from, nextOffset: at, data: Buffer.concat(pieces), truncated: expected < first };
}

/** The last `count` lines of some bytes of a log, as text; what is not UTF-8 becomes U+FFFD. */
export function tailLines(data: Uint8Array, count: number): string {
  const lines = Buffer.from(data).toString('utf8').replaceAll('\r', '').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.slice(-count).join('\n');
}

/** Removes a log and its kept part. Repeating it changes nothing. */
export async function removeLog(path: string): Promise<void> {
  for (const part of await keptParts(path)) await rm(part, { force: true });
  await rm(`${path}.turning`, { force: true });
  await rm(path, { force: true });
}

/** The part before the live file, if any. A crash may leave an older one beside it, which the next turn removes. */
async function keptPart(path: string): Promise<KeptPart | null> {
  const newest = (await keptParts(path)).at(-1);
  if (newest === undefined) return null;
  return { path: newest, offset: Number(newest.slice(path.length + 1)), size: (await sizeOf(newest)) ?? 0 };
}

/** Paths of all kept parts, by rising offset. */
async function keptParts(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  try {
    const names = await readdir(dirname(path));
    return names
      .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
      .sort((a, b) => Number(a.slice(prefix.length)) - Number(b.slice(prefix.length)))
      .map((name) => join(dirname(path), name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

async function readRange(path: string, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const file = await open(path, 'r');
  try {
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(buffer, done, length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  } finally {
    await file.close();
  }
}
