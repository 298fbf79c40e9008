/**
 * A stream into a guest, as agentd's clients have it: an HTTP Upgrade on agentd's socket, then frames.
 * Source: docs/guest-streams.md.
 */
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { checkSocketPath, encodeFrame, FrameDecoder } from '@mvm/framing';
import { CodedError, errorFromResponse } from '@mvm/protocol';
import {
  decodeStreamFrame,
  encodeStreamFrame,
  MAX_STREAM_DATA,
  STREAM_CHANNEL,
  STREAM_WINDOW_TO_GUEST,
  type StreamFrame,
  type StreamSpec,
  streamCost,
  streamEndCodec,
  streamOpenCodec,
} from '@mvm/protocol/guest';
import { errorBodySchema, fromApiError } from './errors.js';
import { transportError } from './transport-error.js';

/** The name in the Upgrade header. */
export const STREAM_PROTOCOL = 'mvm-stream';
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_ERROR_BODY = 1_048_576;
/** Credit is given back in portions: each is a frame. */
const RETURN_CREDIT_AT = 65_536;

/** Where streams of an instance are opened. */
function streamPath(address: { tenantId: string; poolId: string; instanceId: string }): string {
  const parts = [address.tenantId, address.poolId, address.instanceId].map(encodeURIComponent);
  return `/v1/instances/${parts.join('/')}/stream`;
}

export interface GuestStreamHandlers {
  /** Output of the guest's, in order. The guest may send more once this resolves. */
  data(channel: 'stdout' | 'stderr', bytes: Uint8Array): void | Promise<void>;
  /** No more data comes on stdout, while the stream goes on: of a connection that the guest has shut down. */
  outputEnded?(): void;
}

/** A stream that was asked for. What it becomes, `ended` says. */
export interface GuestStreamSession {
  /** How it ended: an exit code, or a signal's number. Rejects with CodedError when there is no stream, or no more. */
  readonly ended: Promise<{ readonly code: number } | { readonly signal: number }>;
  /** Sends input, and resolves when all of it was sent; false when the stream has ended. */
  write(bytes: Uint8Array): Promise<boolean>;
  endInput(): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
  signal(number: number): void;
  /** Leaves. `detach`: what runs in the guest goes on. `ended` rejects with `canceled`, `guest_stream.left`. */
  leave(options?: { readonly detach: boolean }): void;
}

export interface OpenSessionOptions {
  readonly socketPath: string;
  readonly address: { readonly tenantId: string; readonly poolId: string; readonly instanceId: string };
  readonly open: StreamSpec;
  readonly handlers: GuestStreamHandlers;
}

/**
 * Opens a stream. Resolves as soon as agentd has the request: input may be written at once. Throws what cannot be sent,
 * and errors of the connection to agentd.
 */
export async function openGuestSession(options: OpenSessionOptions): Promise<GuestStreamSession> {
  const { socketPath, address, open, handlers } = options;
  const payload = streamOpenCodec.encode({ type: 'Open', ...open });
  const socket = await upgrade(socketPath, streamPath(address));
  socket.write(encodeFrame(encodeStreamFrame({ type: 'open', payload })));
  return attachGuestSession(socket, handlers);
}

/** The stream that a connection carries from now on; `openGuestSession` makes the connection, too. */
export function attachGuestSession(socket: Duplex, handlers: GuestStreamHandlers): GuestStreamSession {
  return new Session(socket, handlers);
}

function upgrade(socketPath: string, path: string): Promise<Duplex> {
  checkSocketPath(socketPath);
  return new Promise((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: STREAM_PROTOCOL, host: 'agentd' };
    const call = request({ socketPath, path, headers, timeout: CONNECT_TIMEOUT_MS });
    const fail = (error: unknown, timedOut = false): void =>
      reject(transportError(error, { socketPath, timeoutMs: CONNECT_TIMEOUT_MS, timedOut, canceled: false }));
    call.on('timeout', () => {
      fail(new Error('no answer'), true);
      call.destroy();
    });
    call.on('error', fail);
    call.on('upgrade', (_answer, socket, head) => {
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    call.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length <= MAX_ERROR_BODY) chunks.push(chunk);
      });
      answer.on('error', fail);
      answer.on('end', () => reject(refusal(answer.statusCode ?? 0, Buffer.concat(chunks).toString())));
    });
    call.end();
  });
}

function refusal(status: number, text: string): CodedError {
  try {
    const body = errorBodySchema.safeParse(JSON.parse(text));
    if (body.success) return fromApiError(body.data.error);
  } catch {
    // Answered below, as every other body that is no error.
  }
  return new CodedError({
    code: 'protocol_mismatch',
    reason: 'agentd.unexpected_answer',
    message: `agentd did not open a stream (HTTP ${status})`,
    hint: "Check that the socket is mvm-agentd's, and compare versions with `mvm version`.",
    details: { status },
  });
}

interface Settle {
  readonly resolve: (end: { code: number } | { signal: number }) => void;
  readonly reject: (error: unknown) => void;
}

class Session implements GuestStreamSession {
  readonly ended: GuestStreamSession['ended'];
  readonly #socket: Duplex;
  readonly #handlers: GuestStreamHandlers;
  readonly #decoder = new FrameDecoder();
  readonly #frames: StreamFrame[] = [];
  readonly #settle: Settle;
  #isOver = false;
  #isHandling = false;
  #isLost = false;
  #credit = STREAM_WINDOW_TO_GUEST;
  #toReturn = 0;
  #onCredit: (() => void) | null = null;

  constructor(socket: Duplex, handlers: GuestStreamHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    let settle: Settle | undefined;
    this.ended = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    if (settle === undefined) throw new Error('a promise did not run its executor');
    this.#settle = settle;
    this.ended.catch(() => {});
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk));
    socket.on('end', () => this.#lost());
    socket.on('error', () => this.#lost());
    socket.on('close', () => this.#lost());
  }

  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length; ) {
      const size = Math.min(bytes.length - at, MAX_STREAM_DATA);
      while (!this.#isOver && this.#credit < streamCost(Math.min(size, this.#credit))) {
        await new Promise<void>((resolve) => {
          this.#onCredit = resolve;
        });
      }
      if (this.#isOver) return false;
      const data = bytes.subarray(at, at + Math.min(size, this.#credit));
      this.#credit -= streamCost(data.length);
      at += data.length;
      this.#send({ type: 'data', channel: STREAM_CHANNEL.stdin, data });
    }
    return !this.#isOver;
  }

  endInput(): void {
    this.#send({ type: 'endOfData', channel: STREAM_CHANNEL.stdin });
  }

  resize({ rows, cols }: { readonly rows: number; readonly cols: number }): void {
    this.#send({ type: 'resize', rows, cols });
  }

  signal(number: number): void {
    this.#send({ type: 'signal', number });
  }

  leave({ detach } = { detach: false }): void {
    this.#send({ type: 'close', detach });
    this.#socket.end();
    this.#finish(() =>
      this.#settle.reject(
        new CodedError({ code: 'canceled', reason: 'guest_stream.left', message: 'the stream was left' }),
      ),
    );
  }

  #send(frame: StreamFrame): void {
    if (!this.#isOver) this.#socket.write(encodeFrame(encodeStreamFrame(frame)));
  }

  #take(chunk: Uint8Array): void {
    if (this.#isOver) return;
    try {
      for (const body of this.#decoder.push(chunk)) {
        const frame = decodeStreamFrame(body);
        if (frame === null) throw badFrame();
        if (frame.type === 'credit') {
          this.#credit += frame.bytes;
          this.#onCredit?.();
          this.#onCredit = null;
        } else this.#frames.push(frame);
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (!this.#isHandling) void this.#handle();
  }

  /** One frame after the other: a slow reader of output keeps the guest from sending more than its credit. */
  async #handle(): Promise<void> {
    this.#isHandling = true;
    try {
      for (let frame = this.#frames.shift(); frame !== undefined; frame = this.#frames.shift()) {
        if (frame.type === 'data') {
          const channel = frame.channel === STREAM_CHANNEL.stderr ? 'stderr' : 'stdout';
          const handled = this.#handlers.data(channel, frame.data);
          if (handled !== undefined) await handled;
          this.#toReturn += streamCost(frame.data.length);
          if (this.#toReturn >= RETURN_CREDIT_AT) {
            this.#send({ type: 'credit', bytes: this.#toReturn });
            this.#toReturn = 0;
          }
        } else if (frame.type === 'endOfData') this.#handlers.outputEnded?.();
        else if (frame.type === 'end') this.#end(frame.payload);
        else throw badFrame();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isHandling = false;
      if (this.#isLost) this.#lost();
    }
  }

  #end(payload: Uint8Array): void {
    const end = streamEndCodec.decode(payload);
    if (end.type === 'Error') throw errorFromResponse(end);
    this.#finish(() =>
      this.#settle.resolve(end.type === 'Exited' ? { code: end.code } : { signal: end.signal }),
    );
    this.#socket.end();
  }

  #lost(): void {
    // What has come already is handled first: the end may be among it.
    if (this.#isHandling) {
      this.#isLost = true;
      return;
    }
    this.#fail(
      new CodedError({
        code: 'unavailable',
        reason: 'guest_stream.lost',
        message: 'the stream was closed: mvm-agentd, or mvm-hostd behind it, ended the connection',
        hint: 'See how they are: mvm status.',
      }),
    );
  }

  #fail(error: unknown): void {
    this.#finish(() => this.#settle.reject(error));
    this.#socket.destroy();
  }

  #finish(settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    settle();
    this.#onCredit?.();
    this.#onCredit = null;
  }
}

function badFrame(): CodedError {
  return new CodedError({
    code: 'protocol_mismatch',
    reason: 'agentd.unexpected_answer',
    message: 'agentd sent a frame that is none of a stream',
    hint: 'Compare versions with `mvm version`.',
  });
}
