import { badLayer } from '../errors.js';
import type { Segment } from './entry.js';
import { parseDecimal, parseNumber } from './numbers.js';
import type { PaxRecord } from './pax.js';

/** Stretches that one file may consist of: bounds what a hostile map costs. */
const MAX_SEGMENTS = 1_000_000;

/** What an extended header says of holes. Source: GNU tar manual, "Storing Sparse Files", formats 0.0, 0.1 and 1.0. */
export interface PaxSparse {
  /** The map stands before the data (format 1.0). */
  readonly mapInData: boolean;
  readonly realSize: number | undefined;
  readonly segments: readonly Segment[];
}

/** Undefined when the file is not sparse. Throws `image.bad_layer`. */
export function paxSparse(records: readonly PaxRecord[]): PaxSparse | undefined {
  const text = (key: string) => records.findLast((record) => record.key === key)?.value.toString('latin1');
  const size = text('GNU.sparse.realsize') ?? text('GNU.sparse.size');
  const realSize = size === undefined ? undefined : parseDecimal(size, 'the size of a sparse file');
  if (text('GNU.sparse.major') === '1') return { mapInData: true, realSize, segments: [] };
  const map = text('GNU.sparse.map');
  if (map !== undefined) return { mapInData: false, realSize, segments: pairs(map.split(',')) };
  if (text('GNU.sparse.numblocks') === undefined) return undefined;
  const numbers = records
    .filter(({ key }) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
    .map(({ value }) => value.toString('latin1'));
  return { mapInData: false, realSize, segments: pairs(numbers) };
}

function pairs(numbers: readonly string[]): Segment[] {
  if (numbers.length > 2 * MAX_SEGMENTS) throw badLayer('a sparse file consists of too many pieces');
  const segments: Segment[] = [];
  for (let at = 0; at + 1 < numbers.length; at += 2) {
    segments.push(segmentOf(numbers[at] ?? '', numbers[at + 1] ?? ''));
  }
  return segments;
}

function segmentOf(offset: string, length: string): Segment {
  return {
    offset: parseDecimal(offset, 'an offset in a sparse file'),
    length: parseDecimal(length, 'a length in a sparse file'),
  };
}

/** Up to `count` entries of 24 bytes of an old GNU sparse header; an empty one ends them. */
export function gnuSegments(block: Buffer, at: number, count: number): Segment[] {
  const segments: Segment[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = at + index * 24;
    if (block[start] === 0) break;
    segments.push({
      offset: parseNumber(block.subarray(start, start + 12), 'an offset in a sparse file'),
      length: parseNumber(block.subarray(start + 12, start + 24), 'a length in a sparse file'),
    });
  }
  return segments;
}

/** Reads the map of format 1.0, which is text in whole blocks before the data. */
export class SparseMapReader {
  #text = '';
  #numbers: number[] = [];

  /** Takes one block of 512 bytes. The segments once the map is complete, and undefined before. */
  push(block: Buffer): Segment[] | undefined {
    this.#text += block.toString('latin1');
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end < 0) break;
      this.#numbers.push(parseDecimal(this.#text.slice(0, end), 'a number in the map of a sparse file'));
      this.#text = this.#text.slice(end + 1);
      const count = this.#numbers[0] ?? 0;
      if (count > MAX_SEGMENTS) throw badLayer('a sparse file consists of too many pieces');
      if (this.#numbers.length === 1 + 2 * count) return this.#segments();
    }
    // A number has at most 16 digits; what is left of a block is padding or the beginning of one.
    if (this.#text.length > 512 + 20) throw badLayer('the map of a sparse file is malformed');
    return undefined;
  }

  #segments(): Segment[] {
    const segments: Segment[] = [];
    for (let at = 1; at < this.#numbers.length; at += 2) {
      segments.push({ offset: this.#numbers[at] ?? 0, length: this.#numbers[at + 1] ?? 0 });
    }
    return segments;
  }
}

/**
 * Segments that hold data, checked: ascending, apart, inside the file, and together as long as the archive's data.
 * Throws `image.bad_layer`.
 */
export function checkSegments(segments: readonly Segment[], realSize: number, dataBytes: number): Segment[] {
  let end = 0;
  let total = 0;
  for (const { offset, length } of segments) {
    if (offset < end || offset + length > realSize)
      throw badLayer('the map of a sparse file is not in order');
    end = offset + length;
    total += length;
  }
  if (total !== dataBytes) throw badLayer('the map of a sparse file does not fit its data');
  return segments.filter(({ length }) => length > 0);
}
