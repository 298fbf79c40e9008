import { expect, it } from 'vitest';
import { createLogPrinter } from './log-printer.js';
import { prefixed } from './prefixed.js';

it('several logs share a stream in whole lines, each with the name of its instance', () => {
  let out = '';
  const stdout = {
    write: (text: string | Uint8Array) => {
      out += text;
    },
  };
  const [a, b] = ['a | ', 'b | '].map((prefix) => createLogPrinter(prefixed(stdout, prefix), false));
  a?.print(Buffer.from('one\nun'));
  b?.print(Buffer.from('zwei\u001b[31m'));
  a?.print(Buffer.from('o\n\n'));
  b?.end();
  a?.print(Buffer.from('tail'));
  a?.end();
  expect(out).toBe('a | one\na | uno\na | \nb | zwei\na | tail\n');
});
