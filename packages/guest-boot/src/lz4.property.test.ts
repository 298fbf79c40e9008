import { isCodedError } from '@mvm/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeLz4Legacy } from './lz4.js';

type Sequence = { literals: number[]; distance: number; length: number };

/** A block of sequences, and the bytes that it stands for; each match reaches back to what is there. */
function encode(sequences: readonly Sequence[], last: readonly number[]): { block: Buffer; plain: Buffer } {
  const block: number[] = [];
  const plain: number[] = [];
  const rest = (length: number): void => {
    for (let left = length - 15; left >= 0; left -= 255) block.push(Math.min(left, 255));
  };
  const put = (literals: readonly number[], matchNibble: number): void => {
    block.push((Math.min(literals.length, 15) << 4) | matchNibble);
    if (literals.length >= 15) rest(literals.length);
    block.push(...literals);
    plain.push(...literals);
  };
  for (const { literals, distance, length } of sequences) {
    put(literals, Math.min(length - 4, 15));
    const back = 1 + (distance % plain.length);
    block.push(back & 255, back >> 8);
    if (length - 4 >= 15) rest(length - 4);
    for (let i = 0; i < length; i += 1) plain.push(plain[plain.length - back] ?? 0);
  }
  put(last, 0);
  return { block: Buffer.from(block), plain: Buffer.from(plain) };
}

function frame(...blocks: Buffer[]): Buffer {
  const length = (block: Buffer): Buffer => {
    const field = Buffer.alloc(4);
    field.writeUInt32LE(block.length);
    return field;
  };
  return Buffer.concat([
    Buffer.from([0x02, 0x21, 0x4c, 0x18]),
    ...blocks.flatMap((block) => [length(block), block]),
  ]);
}

const bytes = (minLength: number) => fc.array(fc.nat(255), { minLength, maxLength: 300 });
const sequence = fc.record({
  literals: bytes(1),
  distance: fc.nat(2_000),
  length: fc.integer({ min: 4, max: 600 }),
});

describe('decodeLz4Legacy', () => {
  it('undoes every sequence of literals and matches, block by block', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.array(sequence, { maxLength: 8 }), bytes(1)), { minLength: 1, maxLength: 3 }),
        (parts) => {
          const blocks = parts.map(([sequences, last]) => encode(sequences, last));
          const plain = Buffer.concat(blocks.map((part) => part.plain));
          const decoded = decodeLz4Legacy(frame(...blocks.map((part) => part.block)), plain.length);
          expect(decoded.equals(plain)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('throws its own error, and nothing else, on any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(2_000), (noise, length) => {
        for (const input of [Buffer.from(noise), frame(Buffer.from(noise))]) {
          try {
            expect(decodeLz4Legacy(input, length)).toHaveLength(length);
          } catch (error) {
            expect(isCodedError(error)).toBe(true);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});
