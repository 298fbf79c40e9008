import type { FramingError } from './errors.js';
import { FrameDecoder } from './frame-decoder.js';

// INVARIANTS
// - Frames are handed out in order of arrival, each once; the end (or the failure) comes after the last of them.
// - A reader waits only while the queue is empty.
// - Queued are at most QUEUE_BYTES and QUEUE_FRAMES, one chunk and one frame under way: above that, `full` is true and
//   the owner stops feeding.

const QUEUE_BYTES = 65_536;
const QUEUE_FRAMES = 64;

/** How the incoming half ended: orderly, or with a failure. */
export type InputEnd = 'eof' | FramingError;

/** The receiving half of a frame connection: bytes in, frames out, nothing about sockets or time. */
export class FrameReader {
  readonly #decoder: FrameDecoder;
  #queue: Uint8Array[] = [];
  #head = 0;
  #queuedBytes = 0;
  #end: InputEnd | null = null;
  #waiting: { resolve: (frame: Uint8Array | null) => void; reject: (error: FramingError) => void } | null =
    null;

  constructor(maxFrameBytes: number) {
    this.#decoder = new FrameDecoder({ maxFrameBytes });
  }

  /** Whether a frame was begun and not completed. */
  get partial(): boolean {
    return this.#end === null && this.#decoder.partial;
  }

  /** Whether a caller waits for a frame. */
  get waiting(): boolean {
    return this.#waiting !== null;
  }

  /** Whether no more bytes should be fed for now. */
  get full(): boolean {
    return this.#queuedBytes >= QUEUE_BYTES || this.#queue.length - this.#head >= QUEUE_FRAMES;
  }

  /** How the input ended; null while more may come. */
  get ended(): InputEnd | null {
    return this.#end;
  }

  /** Feeds a chunk; returns how many frames it completed. A failure shows in {@link ended}. */
  feed(chunk: Uint8Array): number {
    let frames: Uint8Array[];
    try {
      frames = this.#decoder.push(chunk);
    } catch (error) {
      if (this.#decoder.failure === null) throw error;
      frames = [];
    }
    for (const frame of frames) {
      this.#queue.push(frame);
      this.#queuedBytes += frame.length;
    }
    if (this.#decoder.failure !== null) this.#end = this.#decoder.failure;
    this.#wake();
    return frames.length;
  }

  /** The peer will send no more: orderly when no frame is under way. */
  finish(): void {
    if (this.#end !== null) return;
    try {
      this.#decoder.end();
      this.stop('eof');
    } catch (error) {
      if (this.#decoder.failure === null) throw error;
      this.stop(this.#decoder.failure);
    }
  }

  /** Ends the input after the frames that are queued. The first end counts. */
  stop(end: InputEnd): void {
    this.#end ??= end;
    this.#wake();
  }

  /** Ends the input at once, as if the peer had, and forgets what is queued. */
  drop(): void {
    this.#queue = [];
    this.#head = 0;
    this.#queuedBytes = 0;
    this.#end = 'eof';
    this.#wake();
  }

  /** The next frame; null at an orderly end. Rejects with the failure. One call at a time. */
  read(): Promise<Uint8Array | null> {
    if (this.#waiting !== null)
      return Promise.reject(new Error('read() was called while another read() waits'));
    const frame = this.#next();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#end === 'eof') return Promise.resolve(null);
    if (this.#end !== null) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #next(): Uint8Array | undefined {
    const frame = this.#queue[this.#head];
    if (frame === undefined) return undefined;
    this.#head += 1;
    this.#queuedBytes -= frame.length;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    }
    return frame;
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    const frame = this.#next();
    if (frame === undefined && this.#end === null) return;
    this.#waiting = null;
    if (frame !== undefined) waiting.resolve(frame);
    else if (this.#end === 'eof') waiting.resolve(null);
    else if (this.#end !== null) waiting.reject(this.#end);
  }
}
