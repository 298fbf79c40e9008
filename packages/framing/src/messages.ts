import type { Readable, Writable } from 'node:stream';
import type { FrameConnection } from './connection.js';
import { readFrame, type StreamFrameOptions, writeFrame } from './stream-frames.js';

/** Turns messages into bodies and back. `decode` throws a coded error for bytes that are no such message. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/**
 * Encodes a message and sends it as one frame over a stream or a frame connection; resolves once it was taken.
 * Throws what `codec.encode` throws, and as `writeFrame` does. A connection's own limits win over `options`.
 */
export async function sendMessage<T>(
  target: Writable | FrameConnection,
  codec: Codec<T>,
  value: T,
  options?: StreamFrameOptions,
): Promise<void> {
  const body = codec.encode(value);
  await (isStream(target) ? writeFrame(target, body, options) : target.write(body));
}

/**
 * Receives one frame from a stream or a frame connection and decodes it; null when the peer has ended.
 * Throws what `codec.decode` throws, and as `readFrame` does. A connection's own limits win over `options`.
 */
export async function recvMessage<T>(
  source: Readable | FrameConnection,
  codec: Codec<T>,
  options?: StreamFrameOptions,
): Promise<T | null> {
  const body = await (isStream(source) ? readFrame(source, options) : source.read());
  return body === null ? null : codec.decode(body);
}

function isStream<S extends Readable | Writable>(value: S | FrameConnection): value is S {
  return 'on' in value && typeof value.on === 'function';
}
