import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEAL_CHUNK_BYTES, seal, unseal } from './seal.js';

const key = Buffer.alloc(32, 7);

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

// Lengths around the chunk borders matter, and the content does not.
const length = fc.oneof(
  fc.nat(2000),
  fc.integer({ min: -2, max: 2 }).map((delta) => SEAL_CHUNK_BYTES + delta),
  fc.integer({ min: -2, max: 2 }).map((delta) => 2 * SEAL_CHUNK_BYTES + delta),
);

describe('seal', () => {
  it('opens to the same bytes, however either side is chunked', async () => {
    await fc.assert(
      fc.asyncProperty(
        length,
        fc.integer({ min: 1000, max: 600_000 }),
        fc.integer({ min: 900, max: 600_000 }),
        async (n, a, b) => {
          const plain = randomBytes(n);
          const sealed = await collect(seal(key, inPieces(plain, a)));
          expect((await collect(unseal(key, inPieces(sealed, b)))).equals(plain)).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('refuses any flipped bit and any cut, and never the same stream twice', async () => {
    const plain = randomBytes(SEAL_CHUNK_BYTES + 5000);
    const sealed = await collect(seal(key, inPieces(plain, 100_000)));
    expect((await collect(seal(key, inPieces(plain, 100_000)))).equals(sealed)).toBe(false);
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length - 1), fc.nat(7), fc.boolean(), async (at, bit, cut) => {
        const changed = cut ? sealed.subarray(0, at) : Buffer.from(sealed);
        if (!cut) changed.writeUInt8(changed.readUInt8(at) ^ (1 << bit), at);
        await expect(collect(unseal(key, inPieces(changed, 65_536)))).rejects.toMatchObject({
          code: 'failed_precondition',
          reason: expect.stringMatching(/^snapshot\.(unseal_failed|not_sealed)$/),
        });
      }),
      { numRuns: 100 },
    );
    // A cut exactly between two chunks is the one that per-chunk tags alone would not notice.
    const border = sealed.subarray(0, 40 + SEAL_CHUNK_BYTES + 16);
    await expect(collect(unseal(key, inPieces(border, 65_536)))).rejects.toMatchObject({
      reason: 'snapshot.unseal_failed',
    });
  });

  it('refuses another key', async () => {
    const sealed = await collect(seal(key, inPieces(Buffer.from('secret'), 3)));
    await expect(collect(unseal(Buffer.alloc(32, 8), inPieces(sealed, 10)))).rejects.toMatchObject({
      reason: 'snapshot.unseal_failed',
    });
  });
});
