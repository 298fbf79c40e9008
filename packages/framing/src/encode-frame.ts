import { FramingError } from './errors.js';
import { DEFAULT_LIMITS } from './limits.js';

/** Length of a frame's header: the body's length, unsigned, big-endian. Source: docs/protocol.md#framing. */
export const HEADER_BYTES = 4;

/**
 * Header and body in one new buffer; the body is copied and stays its owner's.
 * Throws `invalid_argument`, reason `frame.too_large`, for a body above `maxFrameBytes`.
 */
export function encodeFrame(
  body: Uint8Array,
  maxFrameBytes: number = DEFAULT_LIMITS.maxFrameBytes,
): Uint8Array {
  checkFrameLength(body.length, maxFrameBytes);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** Throws `invalid_argument`, reason `frame.too_large`, for a length above the limit. Allocates nothing else. */
export function checkFrameLength(length: number, maxFrameBytes: number): void {
  if (length <= maxFrameBytes) return;
  throw new FramingError({
    reason: 'frame.too_large',
    message: `a frame of ${length} bytes is larger than the limit of ${maxFrameBytes} bytes`,
    hint: 'send less in one message; if this length looks absurd, the other side does not speak this protocol',
    details: { length, max_frame_bytes: maxFrameBytes },
  });
}
