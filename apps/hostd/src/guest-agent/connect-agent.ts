import { connect, type Socket } from 'node:net';
import { unreachable } from './agent-errors.js';

/**
 * Connects to the VMM's socket of a guest's agent. Throws `guest_agent.unreachable`, also when `signal` comes first.
 * Errors after that reach whoever reads or writes.
 */
export function connectAgent(socketPath: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const onAbort = (): void => {
      socket.destroy();
      reject(unreachable(socketPath, 'connecting took too long'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(unreachable(socketPath, error.message, error));
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      // The listener keeps errors from being thrown.
      socket.removeAllListeners('error').on('error', () => {});
      resolve(socket);
    });
  });
}
