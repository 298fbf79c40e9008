import { CodedError } from '@mvm/protocol';
import { isValidId } from '@mvm/protocol/names';

/** Objects on a page when the caller does not say. */
const DEFAULT_LIMIT = 500;
/** Bytes of JSON on a page, well below a frame's 1 MiB. */
export const PAGE_BYTES = 786_432;

/** Bytes that a value takes as JSON; escapes as `encode` writes them. */
export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

/** The ids in a cursor, compared part by part. Throws `invalid_argument`, reason `page.invalid_cursor`. */
export function parseCursor(cursor: string, parts: number): string[] {
  const ids = cursor.split('/');
  if (ids.length === parts && ids.every(isValidId)) return ids;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'page.invalid_cursor',
    message: 'the cursor is not one that this request has answered',
    hint: 'Begin again without a cursor.',
  });
}

/** Whether `ids` comes after `cursor` in the order of the lists: part by part, by code unit. */
export function isAfter(ids: readonly string[], cursor: readonly string[]): boolean {
  for (const [index, id] of ids.entries()) {
    const other = cursor[index] ?? '';
    if (id !== other) return id > other;
  }
  return false;
}

/**
 * The next page of a sorted list: at most `limit` items and `PAGE_BYTES` bytes, at least one item when any is left.
 * `next` is the cursor of the last one when more follow.
 */
export function takePage<S, T>(
  sources: Iterable<S>,
  options: {
    readonly idsOf: (source: S) => readonly string[];
    readonly view: (source: S) => T;
    readonly cursor: string | null | undefined;
    readonly limit: number | null | undefined;
    readonly parts: number;
  },
): { items: T[]; next: string | null } {
  const after = options.cursor == null ? null : parseCursor(options.cursor, options.parts);
  const limit = options.limit ?? DEFAULT_LIMIT;
  const items: T[] = [];
  let bytes = 0;
  let last: readonly string[] = [];
  for (const source of sources) {
    const ids = options.idsOf(source);
    if (after !== null && !isAfter(ids, after)) continue;
    const item = options.view(source);
    bytes += jsonBytes(item) + 1;
    if (items.length > 0 && (items.length >= limit || bytes > PAGE_BYTES)) {
      return { items, next: last.join('/') };
    }
    items.push(item);
    last = ids;
  }
  return { items, next: null };
}
