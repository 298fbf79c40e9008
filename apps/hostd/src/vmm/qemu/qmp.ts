/**
 * A client of QEMU's control protocol.
 *
 * INVARIANTS
 * - QEMU is not trusted: a line is at most 1 MiB, everything is parsed by a schema, every wait is bounded, and what it
 *   sends unasked is limited. Whatever goes wrong with what it sends ends this connection and nothing else.
 * - Once closed, for whatever reason, it stays closed: pending and later commands fail with `vmm.connection_lost`.
 */
import { connect, type Socket } from 'node:net';
import { CodedError, isCodedError } from '@mvm/protocol';
import { checkSocketPath } from '../process/socket-path.js';
import { badAnswer, parseQmpMessage, type QmpMessage } from './qmp-message.js';

/** Longest line that is accepted from QEMU, in bytes. */
export const MAX_QMP_LINE_BYTES = 1_048_576;
const COMMAND_TIMEOUT_MS = 30_000;
/**
 * What QEMU may send unasked (events, late answers), in bytes a second, and at once. A line, and a piece of one, count as
 * at least 256 bytes: short ones cost time and memory too. A busy guest's events are some hundred bytes a second.
 */
const UNASKED_BYTES_PER_SECOND = 64 * 1024;
const UNASKED_BURST_BYTES = 512 * 1024;
const LEAST_BYTES = 256;

export interface QmpEvent {
  readonly event: string;
  readonly data: unknown;
}

export interface QmpClient {
  /** e.g. `7.2.22`. */
  readonly version: string;
  /** Resolves, never rejects, when the connection is closed by either side. */
  readonly closed: Promise<void>;
  /** Whether it is closed, or about to be. */
  isClosed(): boolean;
  /**
   * Runs a command and returns its `return` value. Errors: `vmm.command_failed` (QEMU's own words),
   * `deadline_exceeded` `vmm.command_timeout` (30 s unless told), `unavailable` `vmm.connection_lost`.
   */
  execute(command: string, args?: object, options?: { readonly timeoutMs?: number }): Promise<unknown>;
  close(): void;
}

export interface QmpOptions {
  readonly path: string;
  /** For connection, greeting and negotiation together. */
  readonly timeoutMs: number;
  readonly onEvent?: (event: QmpEvent) => void;
}

/**
 * Connects, takes the greeting and negotiates. Errors: `unavailable` `vmm.connection_lost` (refused, closed),
 * `deadline_exceeded` `vmm.command_timeout`. Source: QEMU, docs/interop/qmp-spec.txt.
 */
export async function connectQmp(options: QmpOptions): Promise<QmpClient> {
  const deadline = performance.now() + options.timeoutMs;
  const left = (): number => Math.max(1, deadline - performance.now());
  const connection = new QmpConnection(connect(checkSocketPath(options.path)), options.onEvent);
  try {
    const version = await connection.greeting(left());
    await connection.execute('qmp_capabilities', undefined, { timeoutMs: left() });
    return {
      version,
      closed: connection.closed,
      isClosed: () => connection.isClosed(),
      execute: (command, args, how) => connection.execute(command, args, how),
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

interface Waiter {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

class QmpConnection {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #onEvent: (event: QmpEvent) => void;
  readonly #waiters = new Map<number, Waiter>();
  /** The greeting has no id of its own; commands count from 1. */
  readonly #greeting: Promise<unknown>;
  #isGreeted = false;
  #nextId = 1;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #unaskedLeft = UNASKED_BURST_BYTES;
  #unaskedAt = performance.now();
  #failure: CodedError | null = null;

  constructor(socket: Socket, onEvent: (event: QmpEvent) => void = () => {}) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    this.#greeting = this.#wait(0);
    // Whoever awaits it sees its failure; without this a connection that is closed first would be an unhandled one.
    this.#greeting.catch(() => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#fail(connectionLost('QEMU closed the connection'));
        resolve();
      });
    });
    socket.on('error', (error) => this.#fail(connectionLost(error.message, error)));
    socket.on('data', (chunk) => {
      try {
        this.#take(chunk);
      } catch (error) {
        // Thrown here it would end hostd.
        this.#fail(
          isCodedError(error) ? error : badAnswer(error instanceof Error ? error.message : 'unreadable'),
        );
      }
    });
  }

  async greeting(timeoutMs: number): Promise<string> {
    return (await this.#bounded(this.#greeting, 'its greeting', timeoutMs)) as string;
  }

  isClosed(): boolean {
    return this.#failure !== null;
  }

  execute(command: string, args?: object, options: { readonly timeoutMs?: number } = {}): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = this.#wait(id);
    this.#socket.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }), id })}\n`);
    return this.#bounded(answer, command, options.timeoutMs ?? COMMAND_TIMEOUT_MS).finally(() => {
      this.#waiters.delete(id);
    });
  }

  close(): void {
    this.#fail(connectionLost('we closed the connection'));
  }

  #wait(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
    });
  }

  async #bounded(answer: Promise<unknown>, what: string, timeoutMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new CodedError({
            code: 'deadline_exceeded',
            reason: 'vmm.command_timeout',
            message: `QEMU did not answer ${what} within ${Math.round(timeoutMs)} ms`,
            hint: 'The host may be overloaded; try again, or stop the instance.',
          }),
        );
      }, timeoutMs);
    });
    try {
      return await Promise.race([answer, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(failure: CodedError): void {
    this.#failure ??= failure;
    for (const waiter of this.#waiters.values()) waiter.reject(this.#failure);
    this.#waiters.clear();
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#socket.destroy();
  }

  /** Lines out of what came. A piece without a line feed is kept as it is: an endless line costs no copying. */
  #take(chunk: Buffer): void {
    let rest = chunk;
    while (this.#failure === null) {
      const end = rest.indexOf(0x0a);
      if (end < 0) break;
      const line = Buffer.concat([...this.#pieces, rest.subarray(0, end)]);
      this.#pieces = [];
      this.#pieceBytes = 0;
      rest = rest.subarray(end + 1);
      this.#line(line);
    }
    if (this.#failure !== null || rest.length === 0) return;
    this.#pieces.push(rest);
    this.#pieceBytes += Math.max(LEAST_BYTES, rest.length);
    if (this.#pieceBytes > MAX_QMP_LINE_BYTES) this.#fail(connectionLost('QEMU sent an endless line'));
  }

  #line(bytes: Buffer): void {
    const line = bytes.toString('utf8').trim();
    const isAsked = line !== '' && this.#dispatch(parseQmpMessage(line));
    if (!isAsked) this.#countUnasked(Math.max(LEAST_BYTES, bytes.length));
  }

  /** Whether a caller waits for it. */
  #dispatch(message: QmpMessage): boolean {
    if (message.kind === 'event') {
      this.#onEvent(message);
      return false;
    }
    if (message.kind === 'greeting') {
      if (this.#isGreeted) return false;
      this.#isGreeted = true;
    }
    const id = message.kind === 'greeting' ? 0 : message.id;
    // Only the greeting settles what waits for it.
    const waiter = id === 0 && message.kind !== 'greeting' ? undefined : this.#waiters.get(id);
    // An answer whose command has timed out has no waiter any more.
    if (waiter === undefined) return false;
    this.#waiters.delete(id);
    if (message.kind === 'greeting') waiter.resolve(message.version);
    else if (message.kind === 'answer') waiter.resolve(message.value);
    else waiter.reject(commandFailed(message.words));
    return true;
  }

  #countUnasked(bytes: number): void {
    const now = performance.now();
    const refill = ((now - this.#unaskedAt) / 1000) * UNASKED_BYTES_PER_SECOND;
    this.#unaskedAt = now;
    this.#unaskedLeft = Math.min(UNASKED_BURST_BYTES, this.#unaskedLeft + refill) - bytes;
    if (this.#unaskedLeft < 0) this.#fail(connectionLost('QEMU sends more than it was asked for'));
  }
}

function commandFailed(words: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.command_failed',
    message: `QEMU refused: ${words}`,
  });
}

function connectionLost(why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'vmm.connection_lost',
    message: `no connection to QEMU: ${why}`,
    cause,
  });
}
