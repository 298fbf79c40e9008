import { checkFrameLength, HEADER_BYTES } from './encode-frame.js';

// INVARIANTS
// - #headerBytes < HEADER_BYTES: the header is incomplete and #body is null.
// - Memory held is at most twice what was received of the frame under way, and never more than its length:
//   a length without a body costs its sender more than it costs us.
// - A length above the limit is refused before anything is allocated for it.

/** What a body's buffer starts with when its bytes do not all come at once. */
const FIRST_ALLOCATION_BYTES = 4096;

/** Puts one frame after the other together out of chunks, taking from a chunk no more than one frame needs. */
export class FrameAssembler {
  readonly #maxFrameBytes: number;
  #headerBytes = 0;
  #length = 0;
  #body: Uint8Array | null = null;
  #bodyBytes = 0;
  #consumed = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Whether a frame was begun and not completed. */
  get partial(): boolean {
    return this.#headerBytes > 0;
  }

  /** Bytes of the frame under way that have arrived, header included. */
  get receivedBytes(): number {
    return this.#headerBytes + this.#bodyBytes;
  }

  /** Bytes allocated for the body under way. */
  get allocatedBytes(): number {
    return this.#body?.length ?? 0;
  }

  /** Where the last {@link take} stopped in its chunk. */
  get consumed(): number {
    return this.#consumed;
  }

  /**
   * Takes bytes of `chunk` from `offset` on. Returns the frame's body once it is complete, else null (then the whole
   * chunk was taken). A body that lies whole in the chunk is a view of it, not a copy.
   * Throws `frame.too_large`; must not be called again after that.
   */
  take(chunk: Uint8Array, offset: number): Uint8Array | null {
    let at = offset;
    while (this.#headerBytes < HEADER_BYTES) {
      const byte = chunk[at];
      if (byte === undefined) {
        this.#consumed = at;
        return null;
      }
      this.#length = this.#length * 256 + byte;
      this.#headerBytes += 1;
      at += 1;
      if (this.#headerBytes === HEADER_BYTES) checkFrameLength(this.#length, this.#maxFrameBytes);
    }
    const available = chunk.length - at;
    const missing = this.#length - this.#bodyBytes;
    if (available >= missing && this.#body === null) {
      this.#consumed = at + missing;
      this.#reset();
      return chunk.subarray(at, this.#consumed);
    }
    const taken = Math.min(available, missing);
    const body = this.#reserve(this.#bodyBytes + taken);
    body.set(chunk.subarray(at, at + taken), this.#bodyBytes);
    this.#bodyBytes += taken;
    this.#consumed = at + taken;
    if (this.#bodyBytes < this.#length) return null;
    this.#reset();
    return body;
  }

  #reset(): void {
    this.#headerBytes = 0;
    this.#length = 0;
    this.#body = null;
    this.#bodyBytes = 0;
  }

  /** The body's buffer with room for `bytes`, grown by doubling up to the frame's length. */
  #reserve(bytes: number): Uint8Array {
    const current = this.#body;
    if (current !== null && current.length >= bytes) return current;
    const wanted = Math.max(bytes, current === null ? FIRST_ALLOCATION_BYTES : current.length * 2);
    const grown = Buffer.allocUnsafe(Math.min(wanted, this.#length));
    if (current !== null) grown.set(current.subarray(0, this.#bodyBytes));
    this.#body = grown;
    return grown;
  }
}
