import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { createLuksHeader, LUKS_HEADER_BYTES, tryLuksHeader } from './luks.js';

const PASSPHRASE = 'ab'.repeat(32);
const { header } = createLuksHeader(PASSPHRASE);

it('opens with its passphrase and no other', async () => {
  expect(header).toHaveLength(LUKS_HEADER_BYTES);
  expect(await tryLuksHeader(header, PASSPHRASE)).toBe('fits');
  expect(await tryLuksHeader(header, `${PASSPHRASE.slice(1)}c`)).toBe('other_key');
  expect(createLuksHeader(PASSPHRASE).header.equals(header)).toBe(false);
});

it('does not open once any of its key is lost', async () => {
  for (const at of [4096, 4096 + 255_999, 132, 112, 216]) {
    const changed = Buffer.from(header);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    expect(await tryLuksHeader(changed, PASSPHRASE), `byte ${at}`).toBe('other_key');
  }
  const wiped = Buffer.from(header).fill(0, 4096);
  expect(await tryLuksHeader(wiped, PASSPHRASE)).toBe('other_key');
});

it('takes no header that would cost more than it may, or point elsewhere', async () => {
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
    expect(await tryLuksHeader(changed, PASSPHRASE), `at ${at}`).toBe('damaged');
  }
  expect(await tryLuksHeader(Buffer.alloc(LUKS_HEADER_BYTES), PASSPHRASE)).toBe('damaged');
  expect(await tryLuksHeader(randomBytes(1000), PASSPHRASE)).toBe('damaged');
  expect(await tryLuksHeader(header.subarray(0, 5000), PASSPHRASE)).toBe('damaged');
});

it('works beside whatever else hostd does: a header may be made to cost seconds', async () => {
  let othersRan = false;
  setImmediate(() => {
    othersRan = true;
  });
  await tryLuksHeader(header, PASSPHRASE);
  expect(othersRan).toBe(true);
});
