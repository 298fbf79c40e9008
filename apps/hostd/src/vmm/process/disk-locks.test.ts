import { expect, it } from 'vitest';
import { parseLocks } from './disk-locks.js';

// What Linux 6 writes of a QEMU 7.2 with a disk that it writes to.
it('reads the locks of an open file', () => {
  const text = `pos:\t0
flags:\t0102002
mnt_id:\t27
ino:\t10126740
lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:10126740 100 101
lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:10126740 201 201
`;
  expect(parseLocks(text)).toEqual([
    { file: 'fe:00:10126740', from: 100, to: 101 },
    { file: 'fe:00:10126740', from: 201, to: 201 },
  ]);
});

it('reads those of all files: to the end too, of other kinds not, nor those that wait', () => {
  const text = `1: FLOCK  ADVISORY  WRITE 712 00:19:610 0 EOF
2: POSIX  ADVISORY  WRITE 641 fe:00:14 0 EOF
2: -> OFDLCK ADVISORY  WRITE -1 fe:00:14 101 101
3: OFDLCK ADVISORY  WRITE -1 fe:00:15 101 101
4: LEASE  ACTIVE    READ 641 fe:00:16 0 EOF
`;
  expect(parseLocks(text)).toEqual([
    { file: 'fe:00:14', from: 0, to: Infinity },
    { file: 'fe:00:15', from: 101, to: 101 },
  ]);
});
