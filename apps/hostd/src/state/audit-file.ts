import { createHash } from 'node:crypto';
import { constants, fstatSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import {
  type AuditEntry,
  type AuditHead,
  type ChainPosition,
  genesisHash,
  LOG_OPERATIONS,
  parseHead,
  parseLine,
  renderHead,
  renderLine,
  sha256Of,
} from '@mvm/audit-log';
import { fallocate, lastErrorName } from '../system/libc.js';
import { readFileIfThere, writeFileAtomic } from './atomic-file.js';

/** The two files of a tenant's log. */
export interface AuditPaths {
  readonly log: string;
  readonly head: string;
}

/** What has to be written into a log before anything else, so that its chain goes on truthfully. */
export interface AuditRepair {
  readonly operation: string;
  readonly details: NonNullable<AuditEntry['details']>;
}

/** The end of a log: where and how its next line goes. */
export interface AuditEnd {
  readonly next: ChainPosition;
  /** Bytes of whole lines; anything behind them is overwritten. */
  readonly size: number;
  /** The head that the last line has, when the file does not say so yet. */
  readonly headDue: AuditHead | null;
  readonly repairs: readonly AuditRepair[];
  /** Up to where blocks are allocated for it; absent: not known yet. */
  readonly allocatedTo?: number;
}

const LINE_FEED = 0x0a;
const TAIL_BYTES = 65_536;
/** How much of a torn line is kept, in characters. */
const TORN_TEXT = 2_000;

/** The head in its file, null without a file. */
export async function readHead(path: string): Promise<AuditHead | null | 'damaged'> {
  const text = await readFileIfThere(path);
  return text === null ? null : (parseHead(text) ?? 'damaged');
}

/** Durable when it returns. */
export async function writeHead(path: string, head: AuditHead): Promise<void> {
  await writeFileAtomic(path, renderHead(head));
}

/** A log's file, made when it is not there, 0600. */
export async function openLog(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
}

/**
 * Where the chain of a log goes on. A killed hostd leaves at most a torn last line and a head that is one entry behind;
 * whatever else does not fit together is not its doing: then the chain goes on from the head, so that the gap stays
 * visible for ever, and an entry says when it was noticed. A log without a chain gets an anchor.
 */
export async function inspectLog(file: FileHandle, headPath: string, tenantId: string): Promise<AuditEnd> {
  const { size } = await file.stat();
  const tail = await readTail(file, size);
  const head = await readHead(headPath);
  const last = tail.line === null ? null : parseLine(tail.line);
  const lastHead =
    tail.line === null || last === null ? null : { seq: last.seq, sha256: sha256Of(tail.line) };
  const torn: AuditRepair[] = tail.torn.length === 0 ? [] : [tornLine(tail.torn)];
  const after = ({ seq, sha256 }: AuditHead): ChainPosition => ({ seq: seq + 1, prev: sha256 });

  if (head !== null && head !== 'damaged') {
    const isLast = lastHead?.seq === head.seq && lastHead.sha256 === head.sha256;
    const isOneBehind = last?.seq === head.seq + 1 && last.prev === head.sha256;
    if (isOneBehind && lastHead !== null) {
      return { next: after(lastHead), size: tail.size, headDue: lastHead, repairs: torn };
    }
    const gap = mended('end_changed', { head_seq: head.seq, last_seq: last?.seq ?? 0 });
    return {
      next: after(head),
      size: tail.size,
      headDue: null,
      repairs: [...(isLast ? [] : [gap]), ...torn],
    };
  }
  // The very first head may be missing because hostd was killed before it wrote it.
  const lost = head === 'damaged' || (last !== null && last.seq > 1);
  const headRepair = lost ? [mended(head === 'damaged' ? 'head_damaged' : 'head_missing', {})] : [];
  if (lastHead !== null) {
    return {
      next: after(lastHead),
      size: tail.size,
      headDue: lastHead,
      repairs: [...headRepair, ...torn],
    };
  }
  const anchor = {
    operation: LOG_OPERATIONS.anchor,
    details: { bytes: tail.size, sha256: await hashOf(file, tail.size) },
  };
  return {
    next: { seq: 1, prev: genesisHash(tenantId) },
    size: tail.size,
    headDue: null,
    repairs: [...(tail.size > 0 ? [anchor] : []), ...headRepair, ...torn],
  };
}

/**
 * Write one line at the end, make it durable (then `onDurable` is called), then the head. Answers the new end. When the
 * line cannot be written, the log ends where it ended; when only the head cannot, the line stays and the next append writes
 * the head first.
 */
export async function appendLine(
  file: FileHandle,
  headPath: string,
  end: AuditEnd,
  entry: AuditEntry,
  onDurable: () => void = () => {},
): Promise<AuditEnd> {
  const { line, sha256 } = renderLine(end.next, entry);
  const bytes = Buffer.concat([line, Buffer.of(LINE_FEED)]);
  const size = end.size + bytes.length;
  const { allocatedTo, full } = allocateAhead(file, end, size);
  if (full && (entry.result === 'error' || size > allocatedTo)) throw noSpace();
  try {
    // A torn line is overwritten from its start: until the new one has its line feed, the end is still torn.
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, end.size + done);
      done += bytesWritten;
    }
    if (fstatSync(file.fd).size > size) await file.truncate(size);
    await file.sync();
  } catch (error) {
    // Cut only when there is something to cut: what is allocated behind the end would go with it.
    if (((await file.stat().catch(() => null))?.size ?? 0) > end.size) {
      await file.truncate(end.size).catch(() => {});
    }
    throw error;
  }
  onDurable();
  const head: AuditHead = { seq: end.next.seq, sha256 };
  await writeHead(headPath, head);
  return { next: { seq: head.seq + 1, prev: sha256 }, size, headDue: null, repairs: [], allocatedTo };
}

const FALLOC_FL_KEEP_SIZE = 1;
/** What is allocated behind the end of a log, and how little of it may be left before there is more. */
const AHEAD_BYTES = 65_536;
const LEAST_AHEAD_BYTES = 32_768;

/**
 * Room behind the end of a log, for entries of what frees space when the disk is full. `full`: there could be no more of it
 * for lack of space; then what failed is not written, so that room is left for what succeeds. What an earlier hostd has
 * allocated is found by allocating just what is needed, which succeeds there on a full disk too. Source: fallocate(2).
 */
function allocateAhead(
  file: FileHandle,
  { size, allocatedTo = size }: AuditEnd,
  needed: number,
): { allocatedTo: number; full: boolean } {
  if (needed + LEAST_AHEAD_BYTES <= allocatedTo) return { allocatedTo, full: false };
  const allocate = (bytes: number): boolean => fallocate(file.fd, FALLOC_FL_KEEP_SIZE, size, bytes) === 0;
  if (allocate(AHEAD_BYTES)) return { allocatedTo: size + AHEAD_BYTES, full: false };
  const errno = lastErrorName();
  // A file system that cannot allocate ahead writes as ever.
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return { allocatedTo, full: false };
  const enough = needed <= allocatedTo || allocate(needed - size);
  return { allocatedTo: enough ? Math.max(allocatedTo, needed) : allocatedTo, full: true };
}

function noSpace(): Error {
  return Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
}

function mended(cause: string, details: AuditRepair['details']): AuditRepair {
  return { operation: LOG_OPERATIONS.mended, details: { cause, ...details } };
}

function tornLine(torn: Buffer): AuditRepair {
  const text = torn.toString('utf8').slice(0, TORN_TEXT);
  return mended('torn_line', { bytes: torn.length, sha256: sha256Of(torn), text });
}

/** The last whole line, where it ends, and what follows it. */
async function readTail(
  file: FileHandle,
  size: number,
): Promise<{ line: Buffer | null; size: number; torn: Buffer }> {
  for (let span = TAIL_BYTES; ; span *= 4) {
    const from = Math.max(0, size - span);
    const bytes = await readAt(file, from, size - from);
    const end = bytes.lastIndexOf(LINE_FEED);
    const begin = end <= 0 ? -1 : bytes.lastIndexOf(LINE_FEED, end - 1);
    if (end >= 0 && (begin >= 0 || from === 0)) {
      return { line: bytes.subarray(begin + 1, end), size: from + end + 1, torn: bytes.subarray(end + 1) };
    }
    if (from === 0) return { line: null, size: 0, torn: bytes };
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function hashOf(file: FileHandle, length: number): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < length; ) {
    const piece = await readAt(file, at, Math.min(TAIL_BYTES, length - at));
    if (piece.length === 0) break;
    hash.update(piece);
    at += piece.length;
  }
  return hash.digest('hex');
}
