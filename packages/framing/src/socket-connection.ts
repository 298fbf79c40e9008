import type { Socket } from 'node:net';
import type { FrameConnection } from './connection.js';
import { connectionClosed, FramingError, isFramingError } from './errors.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import type { FrameLimits } from './limits.js';

// INVARIANTS
// - No timer of its own: whoever made it calls sweep() often enough for its limits.
// - The socket is paused exactly while the reader's queue is full, or once enough was thrown away.
// - A time limit runs only while the peer is the one who must act: a frame's while we read, idle time while the handler
//   waits and holds nothing, write time while something waits in the socket.
// - After the close event every read and write has settled and the signal has fired.

/** A {@link FrameConnection} over a socket; the server and the client differ only in who sweeps it and when it ends. */
export class SocketFrameConnection implements FrameConnection {
  readonly socket: Socket;
  readonly #limits: FrameLimits;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  #abort: AbortController | null = null;
  #onClosed: (() => void) | null = null;
  #closed = false;
  #failure: FramingError | null = null;
  #holds = 0;
  #anyByte = false;
  #activeAt: number;
  #frameSince: number | null = null;
  #lingerSince: number | null = null;
  #discardedBytes = 0;

  constructor(socket: Socket, limits: FrameLimits) {
    this.socket = socket;
    this.#limits = limits;
    this.#reader = new FrameReader(limits.maxFrameBytes);
    this.#writer = new FrameWriter(socket, limits);
    this.#activeAt = performance.now();
    socket.on('data', (chunk: Uint8Array) => this.#onData(chunk));
    socket.on('end', () => this.#reader.finish());
    socket.on('error', (error) => {
      this.#failure ??= connectionClosed('the connection failed', error);
    });
    socket.on('close', () => this.#onClose());
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#closed) this.#abort.abort(this.#closeReason());
    }
    return this.#abort.signal;
  }

  /** Calls back once, when both halves are closed and everything has settled. */
  onClosed(callback: () => void): void {
    if (this.#closed) callback();
    else this.#onClosed = callback;
  }

  read(): Promise<Uint8Array | null> {
    const frame = this.#reader.read();
    if (this.#reader.waiting) this.#activeAt = performance.now();
    if (!this.#reader.full && this.#reader.ended === null && this.socket.isPaused()) this.#resume();
    return frame;
  }

  write(body: Uint8Array): Promise<void> {
    return this.#writer.write(body);
  }

  hold(): () => void {
    let held = true;
    this.#holds += 1;
    return () => {
      if (!held) return;
      held = false;
      this.#holds -= 1;
      this.#activeAt = performance.now();
    };
  }

  end(): void {
    this.#writer.flush();
    this.socket.end();
  }

  destroy(error?: Error): void {
    if (error !== undefined) {
      this.#failure ??= isFramingError(error)
        ? error
        : connectionClosed('the connection was destroyed', error);
      this.#writer.fail(this.#failure);
    }
    this.#writer.flush();
    this.socket.destroy();
  }

  /** Takes no more requests: read() answers null from now on. In-flight answers can still be written. */
  drain(): void {
    this.#reader.drop();
  }

  /** The last frame was written: ends our half, throws away what still comes, and gives the peer time to close. */
  finish(): void {
    this.#reader.drop();
    this.end();
    this.#lingerSince = performance.now();
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** Applies every time limit as of `now` (`performance.now()`); returns what the peer is dropped for, if anything. */
  sweep(now: number): FramingError | null {
    const stalled = this.#writer.stalledSince;
    if (stalled !== null && now - stalled > this.#limits.writeTimeoutMs)
      return this.#drop(writeTimeout(this.#limits));
    if (this.#lingerSince !== null) {
      if (stalled === null && now - this.#lingerSince > this.#limits.lingerTimeoutMs) this.socket.destroy();
      return null;
    }
    if (this.#reader.ended !== null) return null;
    if (this.#frameSince !== null) {
      // The peer may still be answered, so only its half ends here.
      if (now - this.#frameSince > this.#limits.frameTimeoutMs) this.#stopReading(frameTimeout(this.#limits));
      return null;
    }
    if (!this.#reader.waiting || this.#holds > 0 || stalled !== null) return null;
    const limit = this.#anyByte ? this.#limits.idleTimeoutMs : this.#limits.firstByteTimeoutMs;
    if (now - this.#activeAt <= limit) return null;
    this.#reader.stop('eof');
    return this.#drop(idleTimeout(limit, this.#anyByte));
  }

  #drop(error: FramingError): FramingError {
    this.destroy(error);
    return error;
  }

  #onData(chunk: Uint8Array): void {
    if (this.#reader.ended !== null) {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes > this.#limits.maxDiscardBytes) this.socket.pause();
      return;
    }
    this.#anyByte = true;
    const frames = this.#reader.feed(chunk);
    if (!this.#reader.partial) this.#frameSince = null;
    else if (frames > 0 || this.#frameSince === null) this.#frameSince = performance.now();
    if (this.#reader.full && this.#reader.ended === null) {
      this.#frameSince = null;
      this.socket.pause();
    }
  }

  #resume(): void {
    if (this.#reader.partial) this.#frameSince = performance.now();
    this.socket.resume();
  }

  #stopReading(error: FramingError): void {
    this.#frameSince = null;
    this.#reader.stop(error);
  }

  #onClose(): void {
    this.#closed = true;
    // The usual end needs no reason, and making an Error for each connection would cost more than the rest of this file.
    if (this.#reader.ended === null) this.#reader.stop(this.#closeReason());
    this.#writer.flush();
    if (this.#abort !== null) this.#abort.abort(this.#closeReason());
    this.#onClosed?.();
  }

  #closeReason(): FramingError {
    this.#failure ??= connectionClosed('the connection was closed');
    return this.#failure;
  }
}

function frameTimeout(limits: FrameLimits): FramingError {
  return new FramingError({
    reason: 'frame.timeout',
    message: `a frame was begun and not completed within ${limits.frameTimeoutMs} ms`,
    hint: 'send header and body together; if the peer is this program, its machine may be overloaded',
    details: { frame_timeout_ms: limits.frameTimeoutMs },
  });
}

function writeTimeout(limits: FrameLimits): FramingError {
  return new FramingError({
    reason: 'connection.write_timeout',
    message: `the peer did not read what was written within ${limits.writeTimeoutMs} ms`,
    hint: 'the peer must read its answers; look at its log for why it hangs',
    details: { write_timeout_ms: limits.writeTimeoutMs },
  });
}

function idleTimeout(limitMs: number, anyByte: boolean): FramingError {
  return new FramingError({
    reason: 'connection.idle',
    message: anyByte
      ? `no frame came within ${limitMs} ms of the last`
      : `no byte came within ${limitMs} ms of the connection's start`,
    hint: 'connect again when there is something to send',
    details: { limit_ms: limitMs },
  });
}
