import { badLayer } from '../errors.js';
import { parseNumber } from './numbers.js';

export const BLOCK_BYTES = 512;

/** A header block, taken apart. Texts have one character per byte. Source: tar(5), ustar and GNU formats. */
export interface RawHeader {
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow, for the types that have data. */
  readonly size: number;
  readonly mtimeSec: number;
  /** One character. */
  readonly type: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Undefined for a block of zeros. Throws `image.bad_layer`. */
export function decodeHeader(block: Buffer): RawHeader | undefined {
  const wanted = block.subarray(148, 156);
  if (isZero(block)) return undefined;
  if (Number.parseInt(text(wanted, 0, wanted.length).trim(), 8) !== checksum(block)) {
    throw badLayer('it is no tar archive, or it is damaged (checksum of a header)');
  }
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? text(block, 345, 500) : '';
  const name = text(block, 0, 100);
  const type = String.fromCharCode(block[156] ?? 0);
  const isDevice = type === '3' || type === '4';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 257),
    mode: parseNumber(block.subarray(100, 108), 'a mode') & 0o7777,
    uid: parseNumber(block.subarray(108, 116), 'an owner'),
    gid: parseNumber(block.subarray(116, 124), 'a group'),
    size: parseNumber(block.subarray(124, 136), 'a size'),
    mtimeSec: parseNumber(block.subarray(136, 148), 'a time'),
    type,
    deviceMajor: isDevice ? parseNumber(block.subarray(329, 337), 'a device number') : 0,
    deviceMinor: isDevice ? parseNumber(block.subarray(337, 345), 'a device number') : 0,
  };
}

function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at += 1) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

function isZero(block: Buffer): boolean {
  for (let at = 0; at < BLOCK_BYTES; at += 1) if (block[at] !== 0) return false;
  return true;
}

function text(block: Buffer, start: number, end: number): string {
  const zero = block.indexOf(0, start);
  return block.toString('latin1', start, zero < 0 || zero > end ? end : zero);
}
