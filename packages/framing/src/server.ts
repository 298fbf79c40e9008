import { createServer, type Socket } from 'node:net';
import type { FrameConnection } from './connection.js';
import { FramingError, isFramingError } from './errors.js';
import { type FrameLimits, resolveLimits } from './limits.js';
import { type ListenTarget, startListening } from './listen.js';
import { SocketFrameConnection } from './socket-connection.js';
import { Sweeper } from './sweeper.js';

// INVARIANTS
// - Every accepted connection is in the sweeper until its socket has closed, and has run its handler at most once.
// - No connection's failure reaches another connection or the listening socket.

/** What a server does, and within which limits. */
export interface FrameServerOptions {
  /** Limits that differ from `DEFAULT_LIMITS`. */
  readonly limits?: { readonly [K in keyof FrameLimits]?: FrameLimits[K] | undefined } | undefined;
  /**
   * Decides by throwing whether the peer may go on, before a byte of it is looked at. Synchronous where possible: that
   * costs the least. A refused connection is closed without an answer.
   */
  readonly authorize?: ((socket: Socket) => void | Promise<void>) | undefined;
  /**
   * Serves one connection. When it resolves, the connection is ended and what the peer still sends is thrown away, until
   * it closes too or the linger time is over; when it rejects, the connection is destroyed and the error reported.
   */
  readonly onConnection: (connection: FrameConnection) => Promise<void>;
  /**
   * Told of everything that went wrong with a connection: dropped for a limit, refused, or failed in the handler
   * (what is no coded error comes as `handler.failed` with its cause). Must not throw.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** A server of frames on one Unix socket. */
export interface FrameServer {
  /** Starts listening; once. See {@link ListenTarget}; throws the `socket.*` reasons. */
  listen(target: ListenTarget): Promise<void>;
  /**
   * Stops accepting, removes its socket file, lets handlers finish (their next `read()` answers null) and resolves when
   * every connection has closed; after `timeoutMs` (default `closeTimeoutMs`) it destroys those that are left.
   */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
  /** Connections at this moment. */
  readonly connections: number;
  /** Connections closed at once so far, because there were too many. */
  readonly refused: number;
}

/** Makes a server; it listens nowhere until `listen()`. Throws a RangeError for an impossible limit. */
export function createFrameServer(options: FrameServerOptions): FrameServer {
  const limits = resolveLimits(options.limits);
  const report = options.onError ?? (() => {});
  // What the sweeper drops, the handler sees as well; it is reported once.
  const reported = new WeakSet<Error>();
  const sweeper = new Sweeper(limits, (error) => {
    reported.add(error);
    report(error);
  });
  const server = createServer({ allowHalfOpen: true }, accept);
  server.maxConnections = limits.maxConnections;
  let refused = 0;
  let closing: Promise<void> | null = null;

  server.on('drop', () => {
    refused += 1;
    report(tooMany(limits.maxConnections, refused));
  });

  function accept(socket: Socket): void {
    let authorized: void | Promise<void>;
    try {
      authorized = options.authorize?.(socket);
    } catch (error) {
      refuse(socket, error);
      return;
    }
    if (authorized === undefined) {
      serve(socket);
      return;
    }
    // Not read until the answer is known; an error on the socket meanwhile shows again when it is served.
    socket.on('error', () => {});
    authorized.then(
      () => serve(socket),
      (error: unknown) => refuse(socket, error),
    );
  }

  function refuse(socket: Socket, cause: unknown): void {
    socket.on('error', () => {});
    socket.destroy();
    report(unauthorized(cause));
  }

  function serve(socket: Socket): void {
    if (socket.destroyed) return;
    const connection = new SocketFrameConnection(socket, limits);
    sweeper.add(connection);
    connection.onClosed(() => sweeper.delete(connection));
    if (closing !== null) connection.drain();
    void run(connection);
  }

  async function run(connection: SocketFrameConnection): Promise<void> {
    try {
      await options.onConnection(connection);
      connection.finish();
    } catch (error) {
      const failure = asReportable(error);
      connection.destroy(failure);
      if (!reported.has(failure)) report(failure);
    }
  }

  async function close(timeoutMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    for (const connection of sweeper.all()) connection.drain();
    const timer = setTimeout(() => {
      for (const connection of sweeper.all()) connection.destroy();
    }, timeoutMs);
    await closed;
    clearTimeout(timer);
    // A socket counts as closed for the server just before its close event.
    await Promise.all(
      sweeper.all().map(({ socket }) => new Promise((resolve) => socket.once('close', resolve))),
    );
  }

  return {
    async listen(target) {
      if (server.listening) throw new Error('listen() was called twice');
      await startListening(server, target, limits.listenBacklog);
      server.on('error', (error) => report(error));
    },
    close({ timeoutMs = limits.closeTimeoutMs } = {}) {
      closing ??= close(timeoutMs);
      return closing;
    },
    get connections() {
      return sweeper.size;
    },
    get refused() {
      return refused;
    },
  };
}

/** Coded errors, ours or the protocol's, are passed on; anything else is a bug of the handler. */
function asReportable(error: unknown): Error {
  if (isFramingError(error)) return error;
  if (error instanceof Error && (error as { [BRAND]?: unknown })[BRAND] === true) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FramingError({
    reason: 'handler.failed',
    message: `a connection's handler failed: ${message}`,
    hint: 'this is a bug: report it with the log around it',
    cause: error,
  });
}

const BRAND = Symbol.for('mvm.CodedError');

function tooMany(maxConnections: number, refused: number): FramingError {
  return new FramingError({
    reason: 'connection.too_many',
    message: `a connection was refused: there are ${maxConnections} already`,
    hint: 'close connections that are not used, or raise the limit of connections',
    details: { max_connections: maxConnections, refused },
  });
}

function unauthorized(cause: unknown): FramingError {
  return new FramingError({
    reason: 'connection.unauthorized',
    message: `a connection was refused: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: 'only the configured users and groups may connect',
    cause,
  });
}
