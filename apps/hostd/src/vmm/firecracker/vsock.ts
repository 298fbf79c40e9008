import type { Duplex } from 'node:stream';
import { connectSocket } from '../process/connect-socket.js';

/** Where the guest's agent listens; see packages/guest-boot/guest/agent.c. */
export const AGENT_PORT = 1024;
/** `OK <port>\n`, with room. Source: docs/vsock.md of Firecracker. */
const MAX_GREETING_BYTES = 32;

/**
 * A connection to a port of the guest, through the host's end of its vsock device; null when nobody listens there, which
 * Firecracker tells by closing the connection. Rejects when `signal` comes first: a paused guest answers nothing.
 */
export async function connectGuest(path: string, port: number, signal: AbortSignal): Promise<Duplex | null> {
  const socket = await connectSocket(path, signal);
  return await new Promise((resolve, reject) => {
    let greeting = Buffer.alloc(0);
    const settle = (): void => {
      socket.off('data', onData).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(new Error('the guest does not answer'));
    };
    const onClose = (): void => {
      settle();
      resolve(null);
    };
    const onData = (piece: Buffer): void => {
      greeting = Buffer.concat([greeting, piece]);
      const end = greeting.indexOf('\n');
      if (end < 0 && greeting.length < MAX_GREETING_BYTES) return;
      settle();
      if (!/^OK \d+$/.test(greeting.toString('latin1', 0, Math.max(0, end)))) {
        socket.destroy();
        resolve(null);
        return;
      }
      socket.pause();
      // What the guest has said behind it already is the caller's.
      if (end + 1 < greeting.length) socket.unshift(greeting.subarray(end + 1));
      resolve(socket);
    };
    socket.on('data', onData).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    // In one write: a line in two pieces is refused.
    else socket.write(`CONNECT ${port}\n`);
  });
}
