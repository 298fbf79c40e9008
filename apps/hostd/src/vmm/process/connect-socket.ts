import { connect, type Socket } from 'node:net';

/** Connects to a Unix socket. Rejects with what went wrong, also when `signal` comes first; later errors reach whoever reads or writes. */
export function connectSocket(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const onAbort = (): void => {
      socket.destroy();
      reject(new Error('connecting took too long'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(error);
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      // The listener keeps errors from being thrown.
      socket.removeAllListeners('error').on('error', () => {});
      resolve(socket);
    });
  });
}
