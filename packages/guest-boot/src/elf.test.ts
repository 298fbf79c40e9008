import { expect, test } from 'vitest';
import { renderElf64 } from './elf.js';

const code = Buffer.from([0x0f, 0x05]);

test('the entry is the first byte of the code, and the segment holds what it says', () => {
  for (const segment of ['code', 'wholeFile'] as const) {
    const program = renderElf64(code, 0x20_0000, segment);
    const [offset, address, size] = [72, 80, 96].map((at) => Number(program.readBigUInt64LE(at)));
    const entry = Number(program.readBigUInt64LE(24));
    const loaded = program.subarray(offset, (offset ?? 0) + (size ?? 0));
    expect(loaded.subarray(entry - (address ?? 0))).toEqual(code);
    expect(loaded.length).toBe(segment === 'code' ? code.length : program.length);
  }
});
