/**
 * A client of QEMU's control protocol.
 *
 * INVARIANTS
 * - QEMU is not trusted: a line is at most 1 MiB, everything is checked before use, every wait is bounded.
 * - Once closed, for whatever reason, it stays closed: pending and later commands fail with `vmm.connection_lost`.
 */
import { connect, type Socket } from 'node:net';
import { CodedError } from '@mvm/protocol';
import { checkSocketPath } from '../process/socket-path.js';

/** Longest line that is accepted from QEMU, in bytes. */
export const MAX_QMP_LINE_BYTES = 1_048_576;
const COMMAND_TIMEOUT_MS = 30_000;

export interface QmpEvent {
  readonly event: string;
  readonly data: unknown;
}

export interface QmpClient {
  /** e.g. `7.2.22`. */
  readonly version: string;
  /** Resolves, never rejects, when the connection is closed by either side. */
  readonly closed: Promise<void>;
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
 * Connects, takes the greeting and negotiates. Errors: `unavailable` `vmm.connection_lost` (nobody listens, closed),
 * `deadline_exceeded` `vmm.command_timeout`. Source: QEMU, docs/interop/qmp-spec.txt.
 */
export async function connectQmp(options: QmpOptions): Promise<QmpClient> {
  const deadline = performance.now() + options.timeoutMs;
  const left = (): number => Math.max(1, deadline - performance.now());
  const connection = new QmpConnection(connect(checkSocketPath(options.path)), options.onEvent);
  try {
    const version = parseGreeting(await connection.greeting(left()));
    await connection.execute('qmp_capabilities', undefined, { timeoutMs: left() });
    return {
      version,
      closed: connection.closed,
      execute: (command, args, how) => connection.execute(command, args, how),
      close: () => connection.close(),
    };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** The version in QEMU's greeting. Throws `vmm.bad_answer`. Pure. */
export function parseGreeting(message: unknown): string {
  const version = field(field(field(message, 'QMP'), 'version'), 'qemu');
  const parts = ['major', 'minor', 'micro'].map((name) => field(version, name));
  if (!parts.every((part) => typeof part === 'number')) throw badAnswer('no QMP greeting');
  return parts.join('.');
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
  #nextId = 1;
  #partial = Buffer.alloc(0);
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
    socket.on('data', (chunk) => this.#take(chunk));
  }

  greeting(timeoutMs: number): Promise<unknown> {
    return this.#bounded(this.#greeting, 'its greeting', timeoutMs);
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
    this.#partial = Buffer.alloc(0);
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== null) return;
    let rest = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      const line = rest.toString('utf8', 0, end).trim();
      rest = rest.subarray(end + 1);
      if (line !== '') this.#dispatch(line);
      if (this.#failure !== null) return;
    }
    this.#partial = Buffer.from(rest);
    if (this.#partial.length > MAX_QMP_LINE_BYTES) this.#fail(connectionLost('QEMU sent an endless line'));
  }

  #dispatch(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#fail(badAnswer('not JSON'));
      return;
    }
    const event = field(message, 'event');
    if (typeof event === 'string') {
      this.#onEvent({ event, data: field(message, 'data') });
      return;
    }
    const id = field(message, 'QMP') === undefined ? field(message, 'id') : 0;
    const waiter = typeof id === 'number' ? this.#waiters.get(id) : undefined;
    // An answer whose command has timed out is nobody's.
    if (waiter === undefined) return;
    this.#waiters.delete(id as number);
    const failure = field(message, 'error');
    if (failure === undefined) waiter.resolve(id === 0 ? message : field(message, 'return'));
    else waiter.reject(commandFailed(String(field(failure, 'desc') ?? 'no reason given').slice(0, 500)));
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function commandFailed(words: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.command_failed',
    message: `QEMU refused: ${words}`,
  });
}

function badAnswer(what: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.bad_answer',
    message: `QEMU's control socket speaks something else: ${what}`,
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
