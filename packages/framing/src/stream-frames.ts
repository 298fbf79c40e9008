import type { Readable, Writable } from 'node:stream';
import { encodeFrame } from './encode-frame.js';
import { connectionClosed, isFramingError, requestCanceled } from './errors.js';
import { FrameAssembler } from './frame-assembler.js';
import { truncatedFrame } from './frame-decoder.js';
import { DEFAULT_LIMITS } from './limits.js';

/** What may be given to {@link readFrame} and {@link writeFrame}. */
export interface StreamFrameOptions {
  /** Largest body, bytes; default 1 MiB. */
  readonly maxFrameBytes?: number | undefined;
  /** Gives up the call, and with it the position in the stream: the stream should then be destroyed. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads exactly one frame's body from a stream of bytes; what follows it stays in the stream. Null when the stream
 * ends before a frame begins. One call at a time on a stream, which must not be in flowing mode.
 * Throws `frame.too_large`, `frame.truncated`, `connection.closed` (the stream failed), `request.canceled`.
 */
export async function readFrame(
  stream: Readable,
  options: StreamFrameOptions = {},
): Promise<Uint8Array | null> {
  const assembler = new FrameAssembler(options.maxFrameBytes ?? DEFAULT_LIMITS.maxFrameBytes);
  for (;;) {
    const chunk = stream.read() as Uint8Array | null;
    if (chunk !== null) {
      const frame = assembler.take(chunk, 0);
      if (frame === null) continue;
      if (assembler.consumed < chunk.length) stream.unshift(chunk.subarray(assembler.consumed));
      return frame;
    }
    if (!(await readable(stream, options.signal))) {
      if (assembler.partial) throw truncatedFrame(assembler.receivedBytes);
      return null;
    }
  }
}

/** Waits until the stream has something to read (true) or has ended (false). */
function readable(stream: Readable, signal: AbortSignal | undefined): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (stream.errored !== null) return reject(connectionClosed('the stream failed', stream.errored));
    if (stream.readableEnded) return resolve(false);
    if (stream.destroyed) return reject(connectionClosed('the stream was closed before its end'));
    if (signal?.aborted) return reject(requestCanceled(signal));
    const settle = (act: () => void): void => {
      stream.off('readable', onReadable).off('end', onEnd).off('error', onError).off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      act();
    };
    const onReadable = (): void => settle(() => resolve(true));
    const onEnd = (): void => settle(() => resolve(false));
    const onError = (error: Error): void =>
      settle(() => reject(connectionClosed('the stream failed', error)));
    const onClose = (): void =>
      settle(() => reject(connectionClosed('the stream was closed before its end')));
    const onAbort = (): void => settle(() => signal && reject(requestCanceled(signal)));
    stream.on('readable', onReadable).on('end', onEnd).on('error', onError).on('close', onClose);
    signal?.addEventListener('abort', onAbort);
  });
}

/**
 * Writes one frame, header and body together, and resolves once the stream has taken it whole: awaiting each call
 * bounds what waits in memory to one frame. The body must not change until then.
 * Throws `frame.too_large` before anything is written, `connection.closed`, `request.canceled`.
 */
export function writeFrame(
  stream: Writable,
  body: Uint8Array,
  options: StreamFrameOptions = {},
): Promise<void> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const frame = encodeFrame(body, options.maxFrameBytes);
    if (signal?.aborted) return reject(requestCanceled(signal));
    const settle = (error?: unknown): void => {
      // A failed write calls back before the stream emits its error, which needs a listener by then.
      if (error !== undefined) stream.on('error', () => {});
      stream.off('error', onError).off('close', onClose);
      signal?.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(isFramingError(error) ? error : connectionClosed('the stream failed while writing', error));
    };
    const onError = (error: Error): void => settle(error);
    const onClose = (): void => settle(connectionClosed('the stream was closed while writing'));
    const onAbort = (): void => settle(signal && requestCanceled(signal));
    if (stream.destroyed)
      return reject(connectionClosed('the stream is closed', stream.errored ?? undefined));
    stream.on('error', onError).on('close', onClose);
    signal?.addEventListener('abort', onAbort);
    stream.write(frame, (error) => settle(error ?? undefined));
  });
}
