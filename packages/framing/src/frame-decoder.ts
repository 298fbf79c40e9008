import { FramingError } from './errors.js';
import { FrameAssembler } from './frame-assembler.js';
import { DEFAULT_LIMITS } from './limits.js';

// INVARIANTS
// - Any chunking of the same bytes gives the same frames and the same failure.
// - After a failure nothing is decoded any more: every call throws that failure.

/** What may be given to a {@link FrameDecoder}. */
export interface FrameDecoderOptions {
  /** Largest body, bytes; default 1 MiB. */
  readonly maxFrameBytes?: number | undefined;
}

/**
 * Decodes a byte stream into frames, however it is cut into chunks. Holds at most one frame of the maximal size
 * beside the chunk it was given.
 */
export class FrameDecoder {
  readonly #assembler: FrameAssembler;
  #failure: FramingError | null = null;
  #ended = false;

  constructor(options: FrameDecoderOptions = {}) {
    this.#assembler = new FrameAssembler(options.maxFrameBytes ?? DEFAULT_LIMITS.maxFrameBytes);
  }

  /** Whether a frame was begun and not completed. */
  get partial(): boolean {
    return this.#assembler.partial;
  }

  /** Bytes allocated for the frame under way; at most twice what of it has arrived, or 4 KiB. */
  get bufferedBytes(): number {
    return this.#assembler.allocatedBytes;
  }

  /** Why this decoder cannot be used any more; null while it can. */
  get failure(): FramingError | null {
    return this.#failure;
  }

  /**
   * The bodies of all frames that this chunk completes, in order; a body may be a view of the chunk, whose owner must
   * then leave it alone. A failure found behind a complete frame is not thrown before that frame was returned: it
   * shows in {@link failure}, and the next call throws it.
   * Throws `invalid_argument`, reason `frame.too_large`.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    this.#checkUsable();
    const frames: Uint8Array[] = [];
    let offset = 0;
    try {
      while (offset < chunk.length) {
        const frame = this.#assembler.take(chunk, offset);
        offset = this.#assembler.consumed;
        if (frame !== null) frames.push(frame);
      }
    } catch (error) {
      if (!(error instanceof FramingError)) throw error;
      this.#failure = error;
      if (frames.length === 0) throw error;
    }
    return frames;
  }

  /**
   * Tells that the stream has ended. Throws `unavailable`, reason `frame.truncated`, when it ended inside a frame,
   * and any failure that {@link push} held back.
   */
  end(): void {
    this.#checkUsable();
    this.#ended = true;
    if (!this.#assembler.partial) return;
    this.#failure = truncatedFrame(this.#assembler.receivedBytes);
    throw this.#failure;
  }

  #checkUsable(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#ended) throw new Error('a FrameDecoder was used after end()');
  }
}

/** `frame.truncated`: the stream ended after so many bytes of a frame, its header included. */
export function truncatedFrame(receivedBytes: number): FramingError {
  return new FramingError({
    reason: 'frame.truncated',
    message: `the stream ended inside a frame, after ${receivedBytes} of its bytes (header included)`,
    hint: 'the other side stopped in the middle of a message: look at its log, then try again',
    details: { received_bytes: receivedBytes },
  });
}
