import type { Socket } from 'node:net';

/**
 * One connection that carries frames both ways; its two halves end independently. Made by `createFrameServer` and
 * `connectFrames`. Whoever has a connection must end or destroy it.
 */
export interface FrameConnection {
  /** The socket below, for who is calling (peer credentials) and nothing else: do not read, write or end it. */
  readonly socket: Socket;
  /** Aborts when the connection is gone in both directions, for whatever reason. A half-close does not abort it. */
  readonly signal: AbortSignal;
  /**
   * The next frame's body, whose buffer is the caller's; null once the peer has shut down its write half, or the
   * server is closing and takes no more requests. One call at a time.
   * Throws `frame.too_large`, `frame.truncated`, `frame.timeout`, `connection.closed`; writing is still possible after
   * the first three.
   */
  read(): Promise<Uint8Array | null>;
  /**
   * Writes one frame and resolves once the kernel has taken it; frames go out in the order of the calls. The body must
   * not change until then. Await it before making more: that is the backpressure.
   * Throws `frame.too_large` (nothing was written), `connection.write_queue_full` (nothing was written),
   * `connection.closed`, `connection.write_timeout`.
   */
  write(body: Uint8Array): Promise<void>;
  /**
   * Keeps the idle time from running until the returned function is called: for requests under way and subscriptions.
   * Calling the returned function again does nothing.
   */
  hold(): () => void;
  /** Shuts down the write half after what was written; the peer's answers can still be read. */
  end(): void;
  /** Closes both halves at once; pending reads and writes reject with `error`, or else `connection.closed`. */
  destroy(error?: Error): void;
}
