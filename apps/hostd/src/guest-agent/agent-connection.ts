/**
 * One connection to a guest's agent: a byte stream that carries answers to requests, and frames of streams.
 *
 * INVARIANTS
 * - What the guest sends is read as it comes. Answers that are not waited for are kept up to a limit; beyond it, and after
 *   anything that is no frame, the connection is closed.
 * - `onEnd` is called exactly once.
 */
import type { Duplex } from 'node:stream';
import { FrameDecoder, writeFrame } from '@mvm/framing';
import { type CodedError, toCodedError } from '@mvm/protocol';
import {
  type GuestAgentResponse,
  guestAgentResponseCodec,
  isStreamFrame,
  MAX_GUEST_AGENT_FRAME_BYTES,
} from '@mvm/protocol/guest';
import { canceled, nonsense, unreachable } from './agent-errors.js';

/** Answers that may wait to be asked for. */
const MAX_WAITING = 64;
const MAX_WAITING_BYTES = 2 * MAX_GUEST_AGENT_FRAME_BYTES;

export interface ConnectionEvents {
  onStreamFrame(body: Uint8Array): void;
  onEnd(why: CodedError): void;
}

export class AgentConnection {
  readonly #stream: Duplex;
  readonly #events: ConnectionEvents;
  readonly #decoder = new FrameDecoder({ maxFrameBytes: MAX_GUEST_AGENT_FRAME_BYTES });
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #failure: CodedError | null = null;
  #wake: () => void = () => {};

  constructor(stream: Duplex, events: ConnectionEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on('data', (chunk: Uint8Array) => this.#take(chunk));
    stream.on('end', () => this.#end());
    stream.on('error', (error) => this.close(unreachable(error.message, error)));
    stream.on('close', () => this.close(unreachable('the channel was closed')));
    // A driver hands it over paused, so that nothing is lost; a listener does not undo that.
    stream.resume();
  }

  /** Bytes that the guest has not read yet. */
  get unsent(): number {
    return this.#stream.writableLength;
  }

  /** The next answer to a request, whatever it answers. Throws why the connection ended, and what decoding throws. */
  async next(signal: AbortSignal): Promise<GuestAgentResponse> {
    for (;;) {
      const body = this.#waiting.shift();
      if (body !== undefined) {
        this.#waitingBytes -= body.length;
        return guestAgentResponseCodec.decode(body);
      }
      if (this.#failure !== null) throw this.#failure;
      if (signal.aborted) throw canceled('Sync', signal.reason);
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener('abort', wake);
      });
    }
  }

  /** Sends one frame, and resolves once the guest's side has taken it. A write that is given up is sent all the same. */
  async write(body: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    await writeFrame(this.#stream, body, signal === undefined ? {} : { signal });
  }

  /** Ends it. Repeating it changes nothing. */
  close(why: CodedError): void {
    if (this.#failure !== null) return;
    this.#failure = why;
    this.#stream.destroy();
    this.#wake();
    this.#events.onEnd(why);
  }

  #take(chunk: Uint8Array): void {
    if (this.#failure !== null) return;
    try {
      for (const body of this.#decoder.push(chunk)) {
        if (isStreamFrame(body)) this.#events.onStreamFrame(body);
        else this.#keep(body);
      }
      if (this.#decoder.failure !== null) throw this.#decoder.failure;
    } catch (error) {
      this.close(toCodedError(error));
    }
    this.#wake();
  }

  #keep(body: Uint8Array): void {
    this.#waiting.push(body);
    this.#waitingBytes += body.length;
    if (this.#waiting.length > MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES) throw nonsense('Sync');
  }

  #end(): void {
    try {
      this.#decoder.end();
      this.close(unreachable('the channel was closed'));
    } catch (error) {
      this.close(toCodedError(error));
    }
  }
}
