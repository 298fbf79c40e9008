import { expect, test } from 'vitest';
import { isStatic } from './guest-files.js';
import { renderReseedProgram } from './reseed-program.js';

test('the program is a static ELF whose path lies where its code looks for it', () => {
  const program = renderReseedProgram();
  expect(isStatic(program)).toBe(true);
  const lea = program.indexOf(Buffer.from([0x48, 0x8d, 0x3d]));
  const at = lea + 7 + program.readInt32LE(lea + 3);
  expect(program.toString('latin1', at, at + 13)).toBe('/dev/urandom\0');
  expect(at + 13).toBe(program.length);
});
