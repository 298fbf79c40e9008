import { expect, it } from 'vitest';
import { createLogPrinter } from './log-printer.js';

function printed(isTty: boolean, raw: boolean, pieces: Uint8Array[]): Buffer {
  const out: Buffer[] = [];
  const write = (text: string | Uint8Array) => {
    out.push(Buffer.from(text as Uint8Array));
  };
  const stdout = { isTty, columns: undefined, write };
  const printer = createLogPrinter(stdout, raw);
  for (const piece of pieces) printer.print(piece);
  printer.end();
  return Buffer.concat(out);
}

const bytes = Buffer.from('h\u00e9llo \x1b[31mred\x1b[0m\r\n\xff', 'utf8');
const pieces = [...bytes].map((byte) => Uint8Array.of(byte));

it.each([true, false])('finding 20: prints text only, however the bytes are cut, terminal %s', (isTty) => {
  expect(printed(isTty, false, pieces).toString()).toBe('héllo red\n\u00ff');
  expect(printed(isTty, false, [Buffer.from([0xc3])]).toString()).toBe('\ufffd');
});

it('prints every byte when that is asked for', () => {
  for (const isTty of [true, false]) expect(printed(isTty, true, pieces)).toEqual(bytes);
  const noText = Buffer.from([0, 255, 254, 27, 91]);
  expect(printed(false, true, [noText])).toEqual(noText);
});
