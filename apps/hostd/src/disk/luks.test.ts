import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { createLuksHeader, LUKS_HEADER_BYTES, tryLuksHeader } from './luks.js';

const PASSPHRASE = 'ab'.repeat(32);
const { header } = createLuksHeader(PASSPHRASE);

it('opens with its passphrase and no other', () => {
  expect(header).toHaveLength(LUKS_HEADER_BYTES);
  expect(tryLuksHeader(header, PASSPHRASE)).toBe('fits');
  expect(tryLuksHeader(header, `${PASSPHRASE.slice(1)}c`)).toBe('other_key');
  expect(createLuksHeader(PASSPHRASE).header.equals(header)).toBe(false);
});

it('does not open once any of its key is lost', () => {
  for (const at of [4096, 4096 + 255_999, 132, 112, 216]) {
    const changed = Buffer.from(header);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    expect(tryLuksHeader(changed, PASSPHRASE), `byte ${at}`).toBe('other_key');
  }
  const wiped = Buffer.from(header).fill(0, 4096);
  expect(tryLuksHeader(wiped, PASSPHRASE)).toBe('other_key');
});

it('takes no header that would cost more than it may, or point elsewhere', () => {
  const fields: [number, number][] = [
    [0, 0x4c554b54],
    [104, 0xffffffff],
    [108, 32],
    [164, 0],
    [164, 0xffffffff],
    [212, 0xffffffff],
    [212, 0],
    [248, 0xffffffff],
    [252, 0xffffffff],
  ];
  for (const [at, value] of fields) {
    const changed = Buffer.from(header);
    changed.writeUInt32BE(value, at);
    expect(tryLuksHeader(changed, PASSPHRASE), `at ${at}`).toBe('damaged');
  }
  expect(tryLuksHeader(Buffer.alloc(LUKS_HEADER_BYTES), PASSPHRASE)).toBe('damaged');
  expect(tryLuksHeader(randomBytes(1000), PASSPHRASE)).toBe('damaged');
  expect(tryLuksHeader(header.subarray(0, 5000), PASSPHRASE)).toBe('damaged');
});
