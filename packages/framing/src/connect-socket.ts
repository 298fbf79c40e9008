import { connect, type Socket } from 'node:net';
import { errnoOf } from '@mvm/errors';
import { connectionClosed, FramingError, requestCanceled } from './errors.js';
import { checkSocketPath } from './socket-path.js';

/** How long to wait before asking again a server whose queue of connections is full. */
const RETRY_MS = 10;

/**
 * A connected socket whose halves end independently. A server whose queue of connections is full is asked again until
 * the time is over. Throws as `connectFrames` does.
 */
export async function connectSocket(
  path: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  checkSocketPath(path);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const result = await attempt(path, deadline, signal);
    if (typeof result !== 'string') return result;
    if (performance.now() + RETRY_MS >= deadline) throw connectTimeout(path, timeoutMs, result);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** A socket, or `EAGAIN` (the queue is full), or `pending` (no result within the time). */
function attempt(
  path: string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Socket | 'EAGAIN' | 'pending'> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(requestCanceled(signal));
    const socket = connect({ path, allowHalfOpen: true });
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      socket.off('connect', onConnect).off('error', onError);
      signal?.removeEventListener('abort', onAbort);
      act();
    };
    const giveUp = (act: () => void): void =>
      settle(() => {
        socket.on('error', () => {}).destroy();
        act();
      });
    const onConnect = (): void => settle(() => resolve(socket));
    const onError = (error: Error): void =>
      giveUp(() => (errnoOf(error) === 'EAGAIN' ? resolve('EAGAIN') : reject(connectFailed(path, error))));
    const onAbort = (): void => giveUp(() => signal && reject(requestCanceled(signal)));
    const timer = setTimeout(
      () => giveUp(() => resolve('pending')),
      Math.max(1, deadline - performance.now()),
    );
    socket.on('connect', onConnect).on('error', onError);
    signal?.addEventListener('abort', onAbort);
  });
}

function connectFailed(path: string, cause: Error): FramingError {
  const errno = errnoOf(cause);
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new FramingError({
      reason: 'connection.denied',
      message: `this user may not connect to ${path} (${errno})`,
      hint: 'run as root or as a member of the group that owns the socket',
      details: { path, errno },
      cause,
    });
  }
  if (errno === 'ECONNREFUSED' || errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ENOTSOCK') {
    return new FramingError({
      reason: 'connection.refused',
      message: `no process listens on ${path} (${errno})`,
      hint: 'start the server, or check the path of its socket',
      details: { path, errno },
      cause,
    });
  }
  return connectionClosed(`cannot connect to ${path}`, cause);
}

function connectTimeout(path: string, timeoutMs: number, state: string): FramingError {
  return new FramingError({
    reason: 'connection.timeout',
    message: `the server at ${path} did not accept the connection within ${timeoutMs} ms`,
    hint: 'the server is overloaded or hangs: look at its log, then try again',
    details: { path, connect_timeout_ms: timeoutMs, state },
  });
}
