import { connect, type Socket } from 'node:net';
import { CodedError } from '@mvm/protocol';

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

/** `unavailable`, reason `guest_agent.unreachable`. */
export function unreachable(socketPath: string, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'guest_agent.unreachable',
    message: `no channel to the guest's agent at ${socketPath}: ${why}`,
    cause,
  });
}
