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

it('finding 9: takes no header that hostd does not write', async () => {
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
    // Another slot in use, and more work than ours: what eight of them cost.
    [256, 0x00ac71f3],
    [212, 2_000_000],
    [164, 2_000_000],
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

it('finding 9: refuses a header of the greatest cost before it derives any key', async () => {
  const hostile = Buffer.from(header);
  hostile.writeUInt32BE(2_000_000, 164);
  for (let slot = 0; slot < 8; slot += 1) {
    hostile.writeUInt32BE(0x00ac71f3, 208 + slot * 48);
    hostile.writeUInt32BE(2_000_000, 212 + slot * 48);
  }
  let turns = 0;
  setImmediate(() => {
    turns += 1;
  });
  // Decided in this very turn: nothing was handed to a thread.
  expect(await tryLuksHeader(hostile, PASSPHRASE)).toBe('damaged');
  expect(turns).toBe(0);
});
