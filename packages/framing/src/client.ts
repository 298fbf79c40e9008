import type { Socket } from 'node:net';
import { connectSocket } from './connect-socket.js';
import type { FrameConnection } from './connection.js';
import { connectionClosed, FramingError, requestCanceled } from './errors.js';
import { type FrameLimits, resolveLimits } from './limits.js';
import { SocketFrameConnection } from './socket-connection.js';
import { Sweeper } from './sweeper.js';

/** Where to connect, and within which limits; absent limits are those of `DEFAULT_LIMITS`. */
export interface ConnectOptions {
  /** Path of a Unix socket, at most 107 bytes. */
  readonly path: string;
  readonly connectTimeoutMs?: number | undefined;
  readonly maxFrameBytes?: number | undefined;
  /** From an answer's first byte to its last. */
  readonly frameTimeoutMs?: number | undefined;
  readonly writeTimeoutMs?: number | undefined;
  /** Gives up connecting; once connected it has no effect. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Connects to a server of frames. A client's connection has no idle time; the caller must destroy it.
 * Throws `connection.refused`, `connection.denied`, `connection.timeout`, `connection.closed`, `socket.path_too_long`,
 * `socket.path_invalid`, `request.canceled`.
 */
export async function connectFrames(options: ConnectOptions): Promise<FrameConnection> {
  const limits = clientLimits(options);
  const socket = await connectSocket(options.path, limits.connectTimeoutMs, options.signal);
  const connection = new SocketFrameConnection(socket, limits);
  connection.hold();
  const sweeper = new Sweeper(limits, () => {});
  sweeper.add(connection);
  connection.onClosed(() => sweeper.delete(connection));
  return connection;
}

/** A request and its answer over a connection of their own. */
export interface RequestOnceOptions extends ConnectOptions {
  /** The request frame's body. */
  readonly body: Uint8Array;
  /** From the request's first byte to the answer's last. */
  readonly responseTimeoutMs?: number | undefined;
}

/**
 * The exchange of version 1: connect, send one frame, shut down the write half, read one frame, close. Resolves with
 * the answer's body. Throws as {@link connectFrames} does, and `frame.too_large`, `frame.truncated`,
 * `connection.closed` (no answer: a version 1 server closes on a request that it cannot decode), `response.timeout`.
 * After `response.timeout` the server may still carry the request out.
 */
export async function requestOnce(options: RequestOnceOptions): Promise<Uint8Array> {
  const limits = clientLimits(options);
  const socket = await connectSocket(options.path, limits.connectTimeoutMs, options.signal);
  const connection = new SocketFrameConnection(socket, limits);
  const { signal } = options;
  const timer = setTimeout(
    () => connection.destroy(responseTimeout(options.path, limits)),
    limits.responseTimeoutMs,
  );
  const onAbort = (): void => connection.destroy(signal && requestCanceled(signal));
  signal?.addEventListener('abort', onAbort);
  try {
    return await exchange(connection, socket, options);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    connection.destroy();
  }
}

async function exchange(
  connection: SocketFrameConnection,
  socket: Socket,
  options: RequestOnceOptions,
): Promise<Uint8Array> {
  if (options.signal?.aborted) throw requestCanceled(options.signal);
  const written = connection.write(options.body);
  // An answer may come although the request was not read whole (it was too large): the answer counts.
  written.catch(() => {});
  if (!socket.destroyed) connection.end();
  const answer = await connection.read();
  if (answer !== null) return answer;
  await written;
  throw connectionClosed(`the server at ${options.path} closed the connection without an answer`);
}

function clientLimits(options: Partial<RequestOnceOptions>): FrameLimits {
  return resolveLimits({
    connectTimeoutMs: options.connectTimeoutMs,
    responseTimeoutMs: options.responseTimeoutMs,
    maxFrameBytes: options.maxFrameBytes,
    frameTimeoutMs: options.frameTimeoutMs,
    writeTimeoutMs: options.writeTimeoutMs,
  });
}

function responseTimeout(path: string, limits: FrameLimits): FramingError {
  return new FramingError({
    reason: 'response.timeout',
    message: `the server at ${path} did not answer within ${limits.responseTimeoutMs} ms`,
    hint: 'it may still carry the request out: look at the state before trying again',
    details: { path, response_timeout_ms: limits.responseTimeoutMs },
  });
}
