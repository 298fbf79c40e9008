import { badLayer } from '../errors.js';

/** One record of an extended header; the value is bytes. */
export interface PaxRecord {
  readonly key: string;
  readonly value: Buffer;
}

/** Longest decimal number that a record's length may have. */
const MAX_LENGTH_DIGITS = 10;

/**
 * The records `<length> <key>=<value>\n` of a pax header, in their order; a key may come more than once. Throws
 * `image.bad_layer`. Source: pax(1), extended header.
 */
export function parsePax(body: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let at = 0; at < body.length; ) {
    // Padding of careless writers.
    if (body[at] === 0) break;
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const length = digits.length <= MAX_LENGTH_DIGITS && /^\d+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = body.indexOf(0x3d, space);
    if (length === 0 || end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw badLayer('an extended header is malformed');
    }
    records.push({
      key: body.toString('latin1', space + 1, equals),
      value: body.subarray(equals + 1, end - 1),
    });
    at = end;
  }
  return records;
}
