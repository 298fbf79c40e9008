import type { Socket } from 'node:net';
import { checkFrameLength, HEADER_BYTES } from './encode-frame.js';
import { connectionClosed, FramingError } from './errors.js';
import type { FrameLimits } from './limits.js';

// INVARIANTS
// - Frames reach the socket in the order of write(), each whole.
// - Frames written in the same turn of the event loop go out in one system call, except for a connection's first, which
//   goes at once: many connections carry no other.
// - What waits (in the socket and in #batch) exceeds maxWriteQueueBytes only through a frame accepted while nothing did.

/** Bodies of at most this size are copied behind their header; larger ones are handed over as they are. */
const COPY_BYTES = 65_536;

/** What a write returns that the kernel has taken already. */
const TAKEN = Promise.resolve();

interface Batch {
  readonly bodies: Uint8Array[];
  bytes: number;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: FramingError) => void;
}

/** The sending half of a frame connection. */
export class FrameWriter {
  readonly #socket: Socket;
  readonly #limits: FrameLimits;
  #batch: Batch | null = null;
  #isFirst = true;
  #unfinished = 0;
  #stalledSince: number | null = null;
  #failure: FramingError | null = null;

  constructor(socket: Socket, limits: FrameLimits) {
    this.#socket = socket;
    this.#limits = limits;
  }

  /** Since when (`performance.now()`) the peer has taken nothing although something waits; null when nothing waits. */
  get stalledSince(): number | null {
    return this.#stalledSince;
  }

  /** What writes are rejected with from now on, because the connection is about to be destroyed for it. */
  fail(failure: FramingError): void {
    this.#failure ??= failure;
  }

  /** Queues one frame; resolves once the kernel has taken it. See FrameConnection.write. */
  write(body: Uint8Array): Promise<void> {
    const refused = this.#refuse(body.length);
    if (refused !== null) return Promise.reject(refused);
    const bytes = HEADER_BYTES + body.length;
    let batch = this.#batch;
    if (batch === null) {
      if (this.#isFirst && bytes <= COPY_BYTES) return this.#writeNow(body, bytes);
      batch = newBatch();
      this.#batch = batch;
      process.nextTick(flushWriter, this);
    }
    batch.bodies.push(body);
    batch.bytes += bytes;
    return batch.promise;
  }

  /** Hands what was queued in this turn to the socket. */
  flush(): void {
    const batch = this.#batch;
    if (batch === null) return;
    this.#batch = null;
    const socket = this.#socket;
    if (socket.destroyed) {
      batch.reject(this.#failure ?? connectionClosed('the connection was closed before a frame was written'));
      return;
    }
    this.#unfinished += 1;
    writeBatch(socket, batch, (error) => {
      const failure = this.#onWritten(error);
      if (failure === null) batch.resolve();
      else batch.reject(failure);
    });
    if (this.#isTaken()) batch.resolve();
  }

  #writeNow(body: Uint8Array, bytes: number): Promise<void> {
    let settle: ((failure: FramingError | null) => void) | null = null;
    this.#isFirst = false;
    this.#unfinished += 1;
    this.#socket.write(joinFrames([body], bytes), (error) => {
      const failure = this.#onWritten(error);
      settle?.(failure);
    });
    if (this.#isTaken()) return TAKEN;
    return new Promise((resolve, reject) => {
      settle = (failure) => (failure === null ? resolve() : reject(failure));
    });
  }

  /** Whether the kernel has everything, so that the callback, a turn later, need not be waited for. */
  #isTaken(): boolean {
    if (this.#socket.writableLength > 0) this.#stalledSince ??= performance.now();
    else return this.#socket.errored === null;
    return false;
  }

  #onWritten(error: Error | null | undefined): FramingError | null {
    this.#unfinished -= 1;
    if (this.#stalledSince !== null) this.#stalledSince = this.#unfinished === 0 ? null : performance.now();
    if (!error) return null;
    return this.#failure ?? connectionClosed('the connection was closed while a frame was written', error);
  }

  #refuse(length: number): unknown {
    try {
      checkFrameLength(length, this.#limits.maxFrameBytes);
    } catch (error) {
      return error;
    }
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      return this.#failure ?? connectionClosed('a frame was written on a closed connection');
    }
    const limit = this.#limits.maxWriteQueueBytes;
    const queued = this.#socket.writableLength + (this.#batch?.bytes ?? 0);
    if (queued === 0 || queued + HEADER_BYTES + length <= limit) return null;
    return new FramingError({
      reason: 'connection.write_queue_full',
      message: `${queued} bytes already wait for the peer to read them`,
      hint: 'wait for earlier writes, or close the connection: the peer does not read',
      details: { queued_bytes: queued, max_write_queue_bytes: limit },
    });
  }
}

function flushWriter(writer: FrameWriter): void {
  writer.flush();
}

function newBatch(): Batch {
  let settle: { resolve: () => void; reject: (error: FramingError) => void } | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (settle === undefined) throw new Error('a promise did not run its executor');
  return { bodies: [], bytes: 0, promise, resolve: settle.resolve, reject: settle.reject };
}

/** One copy of all bodies behind their headers, or, where a body is large, a gathering write without copying it. */
function writeBatch(socket: Socket, batch: Batch, onWritten: (error?: Error | null) => void): void {
  if (batch.bytes <= COPY_BYTES) {
    socket.write(joinFrames(batch.bodies, batch.bytes), onWritten);
    return;
  }
  socket.cork();
  const last = batch.bodies.length - 1;
  batch.bodies.forEach((body, index) => {
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt32BE(body.length, 0);
    // The last chunk's callback comes after all others'; an empty body has no chunk of its own.
    const isLast = index === last;
    socket.write(header, isLast && body.length === 0 ? onWritten : undefined);
    if (body.length > 0) socket.write(body, isLast ? onWritten : undefined);
  });
  socket.uncork();
}

/** All frames in one buffer of `bytes` bytes, headers included. */
function joinFrames(bodies: readonly Uint8Array[], bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const body of bodies) {
    at = buffer.writeUInt32BE(body.length, at);
    buffer.set(body, at);
    at += body.length;
  }
  return buffer;
}
