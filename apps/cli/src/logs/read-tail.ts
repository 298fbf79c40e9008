import type { LogChunk } from '@mvm/protocol';

/** As many bytes as one answer has at most. */
const PAGE_BYTES = 262_144;
const LINE_FEED = 0x0a;

/** The end of a log. */
export interface LogTail {
  /** Whole lines, except that the last one may go on. */
  readonly bytes: Uint8Array;
  readonly nextOffset: number;
  /** Whether there are fewer lines than asked for, because older ones are gone. */
  readonly truncated: boolean;
}

/** Bytes from `offset`, at most `max_bytes`; without an offset the last ones. */
export type ReadPage = (query: { readonly offset?: number; readonly max_bytes: number }) => Promise<LogChunk>;

/**
 * The last `lines` lines of a log, read backwards page by page until they are there or the log's beginning is. Never
 * starts within a line: what is left of a line whose beginning is gone is left out. Errors: those of `read`.
 */
export async function readTail(read: ReadPage, lines: number): Promise<LogTail> {
  const last = await read({ max_bytes: PAGE_BYTES });
  const pages = [decode(last)];
  let start = last.offset;
  let isGone = false;
  // One line feed more than lines: the one before the first of them.
  let missing = lines + 1 - countLineFeeds(pages[0] ?? EMPTY) - (endsInLine(pages[0] ?? EMPTY) ? 1 : 0);
  while (lines > 0 && start > 0 && missing > 0 && !isGone) {
    const offset = Math.max(0, start - PAGE_BYTES);
    const page = await read({ offset, max_bytes: start - offset });
    // The log may have lost its oldest bytes in the meantime.
    isGone = page.offset > offset;
    if (page.offset >= start) break;
    const bytes = decode(page).subarray(0, start - page.offset);
    pages.unshift(bytes);
    missing -= countLineFeeds(bytes);
    start = page.offset;
  }
  const all = Buffer.concat(pages);
  const known = start === 0 ? all : all.subarray(all.indexOf(LINE_FEED) + 1 || all.length);
  return {
    bytes: lastLines(known, lines),
    nextOffset: last.next_offset,
    truncated: lines > 0 && start > 0 && missing > 0,
  };
}

const EMPTY = new Uint8Array();

function decode({ data_base64 }: LogChunk): Buffer {
  return Buffer.from(data_base64, 'base64');
}

function endsInLine(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes.at(-1) !== LINE_FEED;
}

function countLineFeeds(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}

/** The last `lines` lines of `bytes`; an unfinished last line counts as one. */
export function lastLines(bytes: Uint8Array, lines: number): Uint8Array {
  if (lines === 0) return bytes.subarray(bytes.length);
  let start = bytes.length;
  let found = bytes.at(-1) === LINE_FEED ? -1 : 0;
  while (start > 0) {
    if (bytes[start - 1] === LINE_FEED) {
      found += 1;
      if (found === lines) break;
    }
    start -= 1;
  }
  return bytes.subarray(start);
}
