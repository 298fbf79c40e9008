import type { FramingError } from './errors.js';
import type { FrameLimits } from './limits.js';
import type { SocketFrameConnection } from './socket-connection.js';

// INVARIANTS
// - One timer for all connections, running exactly while there are any; it keeps no process alive.
// - A limit of t ms takes effect between t and t + the period, which is a quarter of the smallest limit, 10…250 ms.

/** Applies the time limits of many connections with one timer. */
export class Sweeper {
  readonly #connections = new Set<SocketFrameConnection>();
  readonly #periodMs: number;
  readonly #onDropped: (error: FramingError) => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(limits: FrameLimits, onDropped: (error: FramingError) => void) {
    const smallest = Math.min(
      limits.firstByteTimeoutMs,
      limits.frameTimeoutMs,
      limits.idleTimeoutMs,
      limits.writeTimeoutMs,
      limits.lingerTimeoutMs,
    );
    this.#periodMs = Math.min(250, Math.max(10, Math.floor(smallest / 4)));
    this.#onDropped = onDropped;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#connections.size;
  }

  /** The connections of this moment. */
  all(): readonly SocketFrameConnection[] {
    return [...this.#connections];
  }

  add(connection: SocketFrameConnection): void {
    this.#connections.add(connection);
    this.#timer ??= setInterval(() => this.#sweep(), this.#periodMs).unref();
  }

  delete(connection: SocketFrameConnection): void {
    this.#connections.delete(connection);
  }

  #sweep(): void {
    if (this.#connections.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    const now = performance.now();
    for (const connection of this.#connections) {
      const dropped = connection.sweep(now);
      if (dropped !== null) this.#onDropped(dropped);
    }
  }
}
