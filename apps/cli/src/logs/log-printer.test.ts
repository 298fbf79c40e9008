import { expect, it } from 'vitest';
import { createLogPrinter } from './log-printer.js';

function printed(isTty: boolean, raw: boolean, pieces: Uint8Array[]): Buffer {
  const out: Buffer[] = [];
  const write = (text: string | Uint8Array) => {
    out.push(Buffer.from(text as Uint8Array));
  };
  const printer = createLogPrinter({ isTty, columns: undefined, write }, raw);
  for (const piece of pieces) printer.print(piece);
  printer.end();
  return Buffer.concat(out);
}

const bytes = Buffer.from('h\u00e9llo \x1b[31mred\x1b[0m\r\n\xff', 'utf8');
const pieces = [...bytes].map((byte) => Uint8Array.of(byte));

it('gives a pipe every byte', () => {
  expect(printed(false, false, pieces)).toEqual(bytes);
  const noText = Buffer.from([0, 255, 254, 27, 91]);
  expect(printed(false, false, [noText])).toEqual(noText);
});

it('gives a terminal text only, however the bytes are cut', () => {
  expect(printed(true, false, pieces).toString()).toBe('héllo red\n\u00ff');
  expect(printed(true, false, [Buffer.from([0xc3])]).toString()).toBe('\ufffd');
});

it('gives a terminal everything when that is asked for', () => {
  expect(printed(true, true, pieces)).toEqual(bytes);
});
