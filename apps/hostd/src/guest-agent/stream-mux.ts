/**
 * The streams of one connection to a guest's agent.
 *
 * INVARIANTS
 * - A sink gets frames of its own stream only, at most as much data as its caller gave credit for, and its end once.
 * - An id stays in use until the guest has said that the stream is over: a late frame never reaches another stream.
 * - What the guest may not send ends its stream; when it goes on, it ends the connection.
 */
import { type CodedError, errorToResponse } from '@mvm/protocol';
import {
  decodeStreamFrame,
  encodeStreamFrame,
  STREAM_WINDOW_TO_CALLER,
  STREAM_WINDOW_TO_GUEST,
  type StreamEnd,
  type StreamFrame,
  streamCost,
  streamIdOf,
} from '@mvm/protocol/guest';
import { guestStalled, streamInvalid, streamViolated, tooManyStreams } from './stream-errors.js';
import { decodeEnd } from './stream-records.js';

/** Also the agent's own limit. */
const MAX_STREAMS = 32;
/** Bytes that may wait for a guest; beyond that, nothing new is opened. */
const MAX_UNSENT = 4_194_304;
/** Frames that the guest may not send, before the connection is ended for them. */
const MAX_VIOLATIONS = 16;
const MAX_ID = 0xffff_ffff;

/** Where the frames of a stream go, bodies with id 0. Called in order; `end` last. */
export interface StreamSink {
  frame(body: Uint8Array): void;
  end(end: StreamEnd): void;
}

/** A stream as its caller has it. */
export interface GuestStream {
  /**
   * Passes a frame of the caller's on, and resolves once the guest's side has taken it. Throws `invalid_argument`
   * `guest_stream.invalid` for a frame that a caller may not send, and why the connection ended.
   */
  send(body: Uint8Array): Promise<void>;
  /** The caller is gone: its sink gets nothing more. Repeating it changes nothing. */
  abandon(): void;
}

export interface MuxConnection {
  readonly unsent: number;
  write(body: Uint8Array): Promise<void>;
  close(why: CodedError): void;
}

interface Entry {
  sink: StreamSink | null;
  /** What the guest may still send. */
  credit: number;
  /** What the guest was sent and has not given back. */
  outstanding: number;
  /** Channels that the guest has ended. */
  readonly ended: Set<number>;
  closed: boolean;
}

export class StreamMux {
  readonly #connection: MuxConnection;
  readonly #onEmpty: () => void;
  readonly #entries = new Map<number, Entry>();
  #nextId = 1;
  #violations = 0;
  #over: CodedError | null = null;

  constructor(connection: MuxConnection, onEmpty: () => void) {
    this.#connection = connection;
    this.#onEmpty = onEmpty;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Throws `guest_stream.too_many`, `guest_stream.stalled`, and why the connection has ended. */
  checkRoom(): void {
    if (this.#over !== null) throw this.#over;
    if (this.#entries.size >= MAX_STREAMS) throw tooManyStreams('the instance', MAX_STREAMS);
    if (this.#connection.unsent > MAX_UNSENT) throw guestStalled(this.#connection.unsent);
  }

  /** Asks the guest for a stream; whether it opens one, its first frames say. Throws as `checkRoom` does. */
  open(spec: Uint8Array, sink: StreamSink): GuestStream {
    this.checkRoom();
    const id = this.#takeId();
    const entry: Entry = {
      sink,
      credit: STREAM_WINDOW_TO_CALLER,
      outstanding: 0,
      ended: new Set(),
      closed: false,
    };
    this.#entries.set(id, entry);
    this.#write(encodeStreamFrame({ type: 'open', payload: spec }, id));
    return {
      send: (body) => this.#send(id, entry, body),
      abandon: () => this.#close(id, entry),
    };
  }

  /** Takes a frame of the guest's. */
  receive(body: Uint8Array): void {
    const id = streamIdOf(body);
    const entry = id === null ? undefined : this.#entries.get(id);
    const frame = decodeStreamFrame(body);
    if (id === null || entry === undefined) this.#violate('it named a stream that is not open');
    else if (frame === null) this.#endFor(id, entry, 'it sent a frame that is none');
    else if (frame.type === 'end') {
      this.#entries.delete(id);
      const { sink } = entry;
      entry.sink = null;
      entry.closed = true;
      sink?.end(decodeEnd(frame.payload));
      if (this.#entries.size === 0) this.#onEmpty();
    } else {
      const violation = this.#count(entry, frame);
      if (violation !== null) this.#endFor(id, entry, violation);
      else if (entry.sink !== null) {
        setStreamId(body, 0);
        entry.sink.frame(body);
      }
    }
  }

  /** The connection has ended. */
  endAll(why: CodedError): void {
    this.#over = why;
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const entry of entries) {
      const { sink } = entry;
      entry.sink = null;
      entry.closed = true;
      sink?.end(errorToResponse(why));
    }
  }

  #takeId(): number {
    while (this.#entries.has(this.#nextId)) this.#nextId = this.#nextId === MAX_ID ? 1 : this.#nextId + 1;
    const id = this.#nextId;
    this.#nextId = id === MAX_ID ? 1 : id + 1;
    return id;
  }

  /** Why the guest may not send this frame; null when it may. */
  #count(entry: Entry, frame: StreamFrame): string | null {
    switch (frame.type) {
      case 'data':
        entry.credit -= streamCost(frame.data.length);
        return entry.credit < 0 ? 'it sent more than it had credit for' : null;
      case 'credit':
        entry.outstanding -= frame.bytes;
        return entry.outstanding < 0 || frame.bytes === 0 ? 'it gave credit for what it was not sent' : null;
      case 'endOfData': {
        const again = entry.ended.has(frame.channel);
        entry.ended.add(frame.channel);
        return again ? 'it ended a channel twice' : null;
      }
      default:
        return 'it sent a frame that only hosts send';
    }
  }

  async #send(id: number, entry: Entry, body: Uint8Array): Promise<void> {
    const frame = decodeStreamFrame(body);
    if (frame === null || frame.type === 'open' || frame.type === 'end')
      throw streamInvalid('a caller sent a frame that it may not send');
    // The guest's end and this frame have crossed.
    if (entry.closed) return;
    if (frame.type === 'close') {
      entry.closed = true;
    } else if (frame.type === 'data') {
      entry.outstanding += streamCost(frame.data.length);
      if (entry.outstanding > STREAM_WINDOW_TO_GUEST)
        throw streamInvalid('a caller sent more than it had credit for');
    } else if (frame.type === 'credit') {
      entry.credit += frame.bytes;
      if (entry.credit > STREAM_WINDOW_TO_CALLER)
        throw streamInvalid(`a caller gave credit for more than ${STREAM_WINDOW_TO_CALLER} bytes`);
    }
    setStreamId(body, id);
    await this.#connection.write(body);
  }

  #close(id: number, entry: Entry): void {
    entry.sink = null;
    if (entry.closed) return;
    entry.closed = true;
    this.#write(encodeStreamFrame({ type: 'close', detach: false }, id));
  }

  #endFor(id: number, entry: Entry, how: string): void {
    const { sink } = entry;
    this.#close(id, entry);
    sink?.end(errorToResponse(streamViolated(how)));
    this.#violate(how);
  }

  #violate(how: string): void {
    this.#violations += 1;
    if (this.#violations > MAX_VIOLATIONS) this.#connection.close(streamViolated(how));
  }

  #write(body: Uint8Array): void {
    // How the connection ends, every sink learns.
    this.#connection.write(body).catch(() => {});
  }
}

/** In place: a frame is passed on as it came, under the other side's number. */
function setStreamId(body: Uint8Array, id: number): void {
  new DataView(body.buffer, body.byteOffset, body.length).setUint32(1, id);
}
