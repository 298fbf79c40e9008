import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  decodeStreamFrame,
  encodeStreamFrame,
  isStreamFrame,
  MAX_STREAM_DATA,
  type StreamFrame,
  streamIdOf,
} from './stream.js';

const id = fc.integer({ min: 0, max: 0xffff_ffff });
const channel = fc.integer({ min: 0, max: 2 });
const side = fc.integer({ min: 0, max: 65_535 });
const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
const frames: fc.Arbitrary<StreamFrame> = fc.oneof(
  fc.record({ type: fc.constant('data' as const), channel, data: fc.uint8Array({ maxLength: 300 }) }),
  fc.record({ type: fc.constant('endOfData' as const), channel }),
  fc.record({ type: fc.constant('credit' as const), bytes: id }),
  fc.record({ type: fc.constant('resize' as const), rows: side, cols: side }),
  fc.record({ type: fc.constant('signal' as const), number: fc.integer({ min: 1, max: 64 }) }),
  fc.record({ type: fc.constant('open' as const), payload: bytes }),
  fc.record({ type: fc.constant('end' as const), payload: bytes }),
  fc.record({ type: fc.constant('close' as const), detach: fc.boolean() }),
);

it('a frame is read as it was written', () => {
  fc.assert(
    fc.property(frames, id, (frame, number) => {
      const body = encodeStreamFrame(frame, number);
      expect(isStreamFrame(body)).toBe(true);
      expect(streamIdOf(body)).toBe(number);
      expect(decodeStreamFrame(body)).toEqual(frame);
    }),
  );
});

it('any bytes are a frame that is written the same, or none', () => {
  const head = fc.tuple(fc.integer({ min: 0, max: 10 }), fc.uint8Array({ maxLength: 20 }));
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    head.map(([type, rest]) => Uint8Array.of(type, ...rest)),
  );
  fc.assert(
    fc.property(any, (body) => {
      const frame = decodeStreamFrame(body);
      if (frame !== null) expect(encodeStreamFrame(frame, streamIdOf(body) ?? -1)).toEqual(body);
    }),
  );
});

it('a JSON text is never taken for a frame', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(isStreamFrame(new TextEncoder().encode(text))).toBe(false);
    }),
  );
});

it('more data than a frame may have is none', () => {
  const frame = (length: number) =>
    decodeStreamFrame(encodeStreamFrame({ type: 'data', channel: 1, data: new Uint8Array(length) }));
  expect(frame(MAX_STREAM_DATA)).not.toBeNull();
  expect(frame(MAX_STREAM_DATA + 1)).toBeNull();
});
