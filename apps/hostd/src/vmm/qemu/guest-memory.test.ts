import { describe, expect, it } from 'vitest';
import { mappedInode } from './guest-memory.js';

const MIB = 2 ** 20;
const range = { address: 0x7f0000000000, bytes: 4 * MIB };
const line = (from: number, to: number, rest: string): string =>
  `${(range.address + from * MIB).toString(16)}-${(range.address + to * MIB).toString(16)} ${rest}\n`;
const around =
  '55d000000000-55d000010000 r-xp 00000000 fe:00 77 /usr/bin/qemu-system-x86_64\n' +
  '7fff00000000-7fff00021000 rw-p 00000000 00:00 0 [stack]\n';

describe('mappedInode', () => {
  it('knows memory of the process’s own, also when it is more than was asked for, or in pieces', () => {
    expect(mappedInode(around + line(-2, 9, 'rw-p 00000000 00:00 0'), range)).toBe(0n);
    const pieces = line(0, 1, 'rw-p 00000000 00:00 0') + line(1, 4, 'rw-p 00000000 00:00 0');
    expect(mappedInode(around + pieces, range)).toBe(0n);
  });
  it('knows the file that it is mapped from, from its beginning', () => {
    expect(mappedInode(line(0, 4, 'rw-p 00000000 fe:00 1234   /s/delta.used/memory (deleted)'), range)).toBe(
      1234n,
    );
    const pieces =
      line(0, 1, 'rw-p 00000000 fe:00 1234 /s/memory') + line(1, 4, 'rw-p 00100000 fe:00 1234 /s/memory');
    expect(mappedInode(pieces, range)).toBe(1234n);
  });
  it.each([
    ['nothing is there', around],
    ['there is a gap', line(0, 1, 'rw-p 00000000 00:00 0') + line(2, 4, 'rw-p 00000000 00:00 0')],
    ['it ends too early', line(0, 3, 'rw-p 00000000 00:00 0')],
    ['it is shared', line(0, 4, 'rw-s 00000000 fe:00 1234 /s/memory')],
    ['it cannot be written', line(0, 4, 'r--p 00000000 fe:00 1234 /s/memory')],
    ['it is another part of the file', line(0, 4, 'rw-p 00001000 fe:00 1234 /s/memory')],
    [
      'it is of two files',
      line(0, 1, 'rw-p 00000000 fe:00 1234 /a') + line(1, 4, 'rw-p 00100000 fe:00 1235 /b'),
    ],
  ])('refuses a range when %s', (_, maps) => {
    expect(() => mappedInode(maps, range)).toThrow('not where the VMM says');
  });
});
