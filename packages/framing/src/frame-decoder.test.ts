import { describe, expect, it } from 'vitest';
import { encodeFrame } from './encode-frame.js';
import { FramingError } from './errors.js';
import { FrameDecoder } from './frame-decoder.js';

const text = (frames: Uint8Array[]): string[] => frames.map((frame) => Buffer.from(frame).toString());

function header(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

function errorOf(act: () => unknown): FramingError {
  try {
    act();
  } catch (error) {
    if (error instanceof FramingError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('FrameDecoder', () => {
  it('decodes two-byte chunks, then everything at once, alike', () => {
    const bytes = Buffer.concat(['one', '', 'three'].map((body) => encodeFrame(Buffer.from(body))));
    const decoder = new FrameDecoder();
    const frames: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += 2) frames.push(...decoder.push(bytes.subarray(at, at + 2)));
    frames.push(...decoder.push(bytes));
    decoder.end();
    expect(text(frames)).toEqual(['one', '', 'three', 'one', '', 'three']);
  });

  it('takes a frame of exactly the limit and refuses one more byte before it comes', () => {
    const decoder = new FrameDecoder();
    expect(decoder.push(encodeFrame(Buffer.alloc(1_048_576, 7)))[0]).toHaveLength(1_048_576);
    const error = errorOf(() => decoder.push(header(1_048_577)));
    expect(error).toMatchObject({ code: 'invalid_argument', reason: 'frame.too_large', retry: 'never' });
    expect(error.details).toEqual({ length: 1_048_577, max_frame_bytes: 1_048_576 });
    expect(decoder.bufferedBytes).toBe(0);
  });

  it('reads the length as unsigned and big-endian', () => {
    expect(errorOf(() => new FrameDecoder().push(header(0xffff_ffff))).details).toMatchObject({
      length: 4_294_967_295,
    });
    expect(text(new FrameDecoder().push(Buffer.from([0, 0, 0, 1, 0x61])))).toEqual(['a']);
  });

  it('is unusable after an error', () => {
    const decoder = new FrameDecoder({ maxFrameBytes: 3 });
    const first = errorOf(() => decoder.push(header(4)));
    expect(errorOf(() => decoder.push(encodeFrame(Buffer.from('ok'))))).toBe(first);
    expect(errorOf(() => decoder.end())).toBe(first);
    expect(decoder.failure).toBe(first);
  });

  it('returns a valid frame before the garbage behind it, then throws', () => {
    const decoder = new FrameDecoder();
    const frames = decoder.push(Buffer.concat([encodeFrame(Buffer.from('good')), Buffer.from('garbage!')]));
    expect(text(frames)).toEqual(['good']);
    expect(decoder.failure?.reason).toBe('frame.too_large');
    expect(errorOf(() => decoder.push(Buffer.from('x'))).reason).toBe('frame.too_large');
  });

  it.each([
    ['nothing', 0, null],
    ['half a header', 2, 2],
    ['a header', 4, 4],
    ['all but the last byte', 8, 8],
    ['a whole frame', 9, null],
  ])('tells at the end whether %s was truncated', (_name, count, received) => {
    const decoder = new FrameDecoder();
    decoder.push(encodeFrame(Buffer.from('hello')).subarray(0, count));
    if (received === null) {
      decoder.end();
      expect(decoder.failure).toBeNull();
    } else {
      expect(errorOf(() => decoder.end())).toMatchObject({
        reason: 'frame.truncated',
        retry: 'backoff',
        details: { received_bytes: received },
      });
    }
  });

  it('allocates for what came, not for what was announced', () => {
    const decoder = new FrameDecoder();
    decoder.push(header(1_000_000));
    expect(decoder.bufferedBytes).toBeLessThanOrEqual(4096);
    let sent = 0;
    for (const size of [1, 4095, 5000, 100_000]) {
      decoder.push(Buffer.alloc(size));
      sent += size;
      expect(decoder.bufferedBytes).toBeLessThanOrEqual(Math.max(4096, 2 * sent));
    }
    const [frame] = decoder.push(Buffer.alloc(1_000_000 - sent, 1));
    expect(frame).toHaveLength(1_000_000);
    expect(decoder.bufferedBytes).toBe(0);
  });

  it('refuses to go on after end(), which is a bug of its caller', () => {
    const decoder = new FrameDecoder();
    decoder.end();
    expect(() => decoder.push(Buffer.from('x'))).toThrow('after end()');
  });
});
