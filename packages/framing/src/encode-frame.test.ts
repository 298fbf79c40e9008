import { describe, expect, it } from 'vitest';
import { encodeFrame } from './encode-frame.js';

describe('encodeFrame', () => {
  it('puts the length before the body, big-endian', () => {
    expect([...encodeFrame(Buffer.from('"Ping"'))]).toEqual([0, 0, 0, 6, ...Buffer.from('"Ping"')]);
    expect([...encodeFrame(new Uint8Array(0))]).toEqual([0, 0, 0, 0]);
    expect([...encodeFrame(new Uint8Array(258)).subarray(0, 4)]).toEqual([0, 0, 1, 2]);
  });

  it('copies the body', () => {
    const body = Buffer.from('abc');
    const frame = encodeFrame(body);
    body.fill(0);
    expect(Buffer.from(frame).subarray(4).toString()).toBe('abc');
  });

  it('refuses a body above the limit', () => {
    expect(encodeFrame(new Uint8Array(1_048_576))).toHaveLength(1_048_580);
    expect(() => encodeFrame(new Uint8Array(1_048_577))).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason: 'frame.too_large' }),
    );
    expect(() => encodeFrame(new Uint8Array(5), 4)).toThrow(
      expect.objectContaining({ reason: 'frame.too_large' }),
    );
  });
});
