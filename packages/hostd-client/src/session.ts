import { type FrameConnection, isFramingError } from '@mvm/framing';
import {
  clientFrameCodec,
  errorFromResponse,
  type RequestOrigin,
  type ServerFrame,
  serverFrameCodec,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { badAnswer, clientClosed, disconnected, hostdError, tooManyRequests } from './errors.js';
import type { HostdClientLimits } from './limits.js';
import type { ServerIdentity } from './negotiate.js';

// INVARIANTS
// - An id is used once per session. #sent holds exactly the requests written and not answered, given up or not.
// - #sent.size ≤ maxInFlight and #queue.length ≤ maxQueued; a request given up in the queue is removed from it.
// - After #failure is set, nothing is sent, and every request has been rejected.
// - The socket keeps the process alive exactly while something is in #sent.

/** A request on its way; `settle` is called at most once. */
interface Call {
  readonly request: V2Request;
  readonly origin: RequestOrigin | undefined;
  resolve(response: V2Response): void;
  reject(error: unknown): void;
  /** No caller waits for the answer any more. */
  abandoned: boolean;
}

/** A handle on a request that was put into a session. */
export interface SessionCall {
  readonly response: Promise<V2Response>;
  /** Rejects the request now. What was sent keeps its place until hostd answers. */
  abandon(error: Error): void;
}

/** One connection that speaks version 2: many requests at a time, answered in any order. */
export class HostdSession {
  readonly server: ServerIdentity;
  readonly #connection: FrameConnection;
  readonly #socketPath: string;
  readonly #limits: HostdClientLimits;
  readonly #sent = new Map<number, Call>();
  #queue: Call[] = [];
  #nextId = 1;
  #failure: Error | null = null;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor(
    connection: FrameConnection,
    server: ServerIdentity,
    socketPath: string,
    limits: HostdClientLimits,
  ) {
    this.server = server;
    this.#connection = connection;
    this.#socketPath = socketPath;
    this.#limits = limits;
    this.#rest();
    void this.#readAnswers();
  }

  /** Whether requests can be sent. */
  get usable(): boolean {
    return this.#failure === null;
  }

  /** Sends a request, now or when one that was sent before has been answered. */
  call(request: V2Request, origin?: RequestOrigin): SessionCall {
    let call: Call | undefined;
    const response = new Promise<V2Response>((resolve, reject) => {
      call = { request, origin, resolve, reject, abandoned: false };
      if (this.#failure !== null) reject(this.#failure);
      else if (this.#sent.size < this.#limits.maxInFlight) this.#send(call);
      else if (this.#queue.length < this.#limits.maxQueued) this.#queue.push(call);
      else reject(tooManyRequests(this.#limits.maxQueued));
    });
    return { response, abandon: (error) => call && this.#abandon(call, error) };
  }

  /** Ends the session; what waits is rejected with `error`. */
  close(error: Error = clientClosed()): void {
    this.#fail(error);
  }

  #send(call: Call): void {
    const id = this.#nextId;
    let body: Uint8Array;
    try {
      const { request, origin } = call;
      body = clientFrameCodec.encode({ type: 'request', id, request, ...(origin && { origin }) });
    } catch (error) {
      call.reject(error);
      return;
    }
    this.#nextId += 1;
    if (this.#sent.size === 0) this.#work();
    this.#sent.set(id, call);
    this.#connection.write(body).catch((error: unknown) => this.#onWriteFailed(id, call, error));
  }

  #onWriteFailed(id: number, call: Call, error: unknown): void {
    const notWritten =
      isFramingError(error) &&
      (error.reason === 'frame.too_large' || error.reason === 'connection.write_queue_full');
    if (!notWritten) {
      this.#fail(hostdError(error, this.#socketPath));
      return;
    }
    call.reject(error);
    this.#release(id);
  }

  #abandon(call: Call, error: Error): void {
    call.abandoned = true;
    call.reject(error);
    this.#queue = this.#queue.filter((queued) => queued !== call);
    // When hostd answers nothing any more, a new connection is the only way on.
    const stuck =
      this.#sent.size === this.#limits.maxInFlight &&
      [...this.#sent.values()].every((sent) => sent.abandoned);
    if (stuck) this.#fail(disconnected(this.#socketPath, error));
  }

  async #readAnswers(): Promise<void> {
    try {
      for (;;) {
        const body = await this.#connection.read();
        if (body === null) throw disconnected(this.#socketPath);
        this.#onFrame(this.#decode(body));
      }
    } catch (error) {
      const isGarbage = isFramingError(error) && error.reason === 'frame.too_large';
      this.#fail(
        isGarbage ? badAnswer(this.#socketPath, error.message, error) : hostdError(error, this.#socketPath),
      );
    }
  }

  #decode(body: Uint8Array): ServerFrame {
    try {
      return serverFrameCodec.decode(body);
    } catch (error) {
      throw badAnswer(this.#socketPath, 'it sent a frame that is none of version 2', error);
    }
  }

  #onFrame(frame: ServerFrame): void {
    switch (frame.type) {
      case 'response':
      case 'invalid_response': {
        const call = this.#sent.get(frame.id);
        if (call === undefined)
          throw badAnswer(this.#socketPath, `it answered request ${frame.id}, which does not wait`);
        if (frame.type === 'response') call.resolve(frame.response);
        else
          call.reject(badAnswer(this.#socketPath, `its answer to ${call.request.type} is none`, frame.error));
        this.#release(frame.id);
        return;
      }
      case 'event':
        return;
      case 'Error':
        throw errorFromResponse(frame);
      default:
        throw badAnswer(this.#socketPath, 'it sent a second Welcome');
    }
  }

  /** A request has been answered, or was never written: the next one may go. */
  #release(id: number): void {
    this.#sent.delete(id);
    while (this.#failure === null && this.#sent.size < this.#limits.maxInFlight) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      this.#send(next);
    }
    if (this.#sent.size === 0) this.#rest();
  }

  #work(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    this.#connection.socket.ref();
  }

  #rest(): void {
    if (this.#failure !== null) return;
    this.#connection.socket.unref();
    this.#idleTimer ??= setTimeout(() => this.#fail(clientClosed()), this.#limits.idleTimeoutMs).unref();
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    this.#failure = failure;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    for (const call of [...this.#sent.values(), ...this.#queue]) call.reject(failure);
    this.#sent.clear();
    this.#queue = [];
    this.#connection.destroy();
  }
}
