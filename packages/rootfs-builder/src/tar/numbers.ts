import { badLayer } from '../errors.js';

/**
 * A number of a header: octal text, or base 256 when the first bit is set. Source: tar(5), numeric extensions.
 * Throws `image.bad_layer`.
 */
export function parseNumber(field: Buffer, what: string): number {
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    const negative = (first & 0x40) !== 0;
    let value = BigInt(first & 0x7f);
    if (negative) value -= 0x80n;
    for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw badLayer(`${what} is out of range`);
    return number;
  }
  const text = field.toString('latin1').replaceAll('\0', ' ').trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw badLayer(`${what} is not a number`);
  const number = Number.parseInt(text, 8);
  if (!Number.isSafeInteger(number)) throw badLayer(`${what} is out of range`);
  return number;
}

/** A decimal number of an extended header. Throws `image.bad_layer`. */
export function parseDecimal(text: string, what: string): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw badLayer(`${what} is not a number`);
  return number;
}

/** A time of an extended header, e.g. `-1.25`: seconds rounded down, and nanoseconds. Throws `image.bad_layer`. */
export function parseTime(text: string): { readonly sec: number; readonly nsec: number } {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text);
  if (match === null) throw badLayer('a time is not a number');
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9));
  if (match[1] !== '-') return { sec, nsec };
  return nsec === 0 ? { sec: sec === 0 ? 0 : -sec, nsec } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}
