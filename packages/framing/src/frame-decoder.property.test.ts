import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame } from './encode-frame.js';
import { FramingError } from './errors.js';
import { FrameDecoder } from './frame-decoder.js';

const MAX_FRAME_BYTES = 300;

/** What a stream decodes to: its frames in hex, and the reason of its failure. */
interface Outcome {
  frames: string[];
  failure: string | null;
}

function decode(chunks: readonly Uint8Array[], onChunk?: (decoder: FrameDecoder) => void): Outcome {
  const decoder = new FrameDecoder({ maxFrameBytes: MAX_FRAME_BYTES });
  const frames: string[] = [];
  try {
    for (const chunk of chunks) {
      for (const frame of decoder.push(chunk)) frames.push(Buffer.from(frame).toString('hex'));
      onChunk?.(decoder);
    }
    decoder.end();
    return { frames, failure: null };
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    return { frames, failure: error.reason };
  }
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    chunks.push(bytes.slice(at, at + size));
    at += size;
  }
  return chunks;
}

const bodies = fc.array(fc.uint8Array({ maxLength: MAX_FRAME_BYTES }), { maxLength: 8 });
const chunkSizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 });
const mutations = fc.array(
  fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('set', 'insert', 'remove'),
    byte: fc.integer({ min: 0, max: 255 }),
  }),
  { maxLength: 6 },
);

function mutate(bytes: Uint8Array, edits: readonly { at: number; kind: string; byte: number }[]): Uint8Array {
  const mutated = [...bytes];
  for (const { at, kind, byte } of edits) {
    const index = at % (mutated.length + 1);
    if (kind === 'insert') mutated.splice(index, 0, byte);
    else if (kind === 'remove') mutated.splice(index, 1);
    else mutated.splice(index, 1, byte);
  }
  return Uint8Array.from(mutated);
}

describe('FrameDecoder, any input', () => {
  it('returns what was encoded, however it is cut', () => {
    fc.assert(
      fc.property(bodies, chunkSizes, (wanted, sizes) => {
        const stream = Buffer.concat(wanted.map((body) => encodeFrame(body, MAX_FRAME_BYTES)));
        const hex = wanted.map((body) => Buffer.from(body).toString('hex'));
        expect(decode(cut(stream, sizes))).toEqual({ frames: hex, failure: null });
      }),
      { numRuns: 1000 },
    );
  });

  it('decodes a mutated stream alike in every chunking, with typed errors only', () => {
    fc.assert(
      fc.property(bodies, mutations, chunkSizes, (wanted, edits, sizes) => {
        const whole = mutate(Buffer.concat(wanted.map((body) => encodeFrame(body, MAX_FRAME_BYTES))), edits);
        const atOnce = decode([whole]);
        expect(decode(cut(whole, [1]))).toEqual(atOnce);
        expect(decode(cut(whole, sizes))).toEqual(atOnce);
      }),
      { numRuns: 1000 },
    );
  });

  it('never holds more than one frame of the maximal size', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), chunkSizes, (stream, sizes) => {
        decode(cut(stream, sizes), (decoder) => {
          expect(decoder.bufferedBytes).toBeLessThanOrEqual(MAX_FRAME_BYTES);
        });
      }),
      { numRuns: 500 },
    );
  });
});
