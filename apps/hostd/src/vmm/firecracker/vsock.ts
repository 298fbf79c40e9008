import type { Duplex } from 'node:stream';
import { connectSocket } from '../process/connect-socket.js';

/** Where the guest's agent listens; see packages/guest-boot/guest/agent.c. */
export const AGENT_PORT = 1024;
/** `OK <port>\n`, with room. Source: docs/vsock.md of Firecracker. */
const MAX_GREETING_BYTES = 32;

/**
 * A connection to a port of the guest, through the host's end of its vsock device; null when no program listens there, which
 * Firecracker tells by closing the connection. Rejects when `signal` comes first: a paused guest answers nothing.
 */
export async function connectGuest(path: string, port: number, signal: AbortSignal): Promise<Duplex | null> {
  const socket = await connectSocket(path, signal);
  return await new Promise((resolve, reject) => {
    let greeting = Buffer.alloc(0);
    const settle = (): void => {
      socket.off('readable', onReadable).off('close', onClose);
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
    // Not by `data`: a stream that was paused once does not flow by itself when its next reader listens for that.
    const onReadable = (): void => {
      for (let piece: Buffer | null = socket.read(); piece !== null; piece = socket.read())
        greeting = Buffer.concat([greeting, piece]);
      const end = greeting.indexOf('\n');
      if (end < 0 && greeting.length < MAX_GREETING_BYTES) return;
      settle();
      if (!/^OK \d+$/.test(greeting.toString('latin1', 0, Math.max(0, end)))) {
        socket.destroy();
        resolve(null);
        return;
      }
      // What the guest has said behind it already is the caller's.
      if (end + 1 < greeting.length) socket.unshift(greeting.subarray(end + 1));
      resolve(socket);
    };
    socket.on('readable', onReadable).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    // In one write: a line in two pieces is refused.
    else socket.write(`CONNECT ${port}\n`);
  });
}

/**
 * The connections to a guest's agent, which serves one at a time and drops it for the next. So whether an agent is there is
 * not asked by a connection while there is one.
 */
export class AgentLine {
  readonly #connect: (signal: AbortSignal) => Promise<Duplex | null>;
  #last: Promise<Duplex | null> = Promise.resolve(null);

  constructor(connect: (signal: AbortSignal) => Promise<Duplex | null>) {
    this.#connect = connect;
  }

  /** A stream that ends in the agent; null while there is none. */
  connect(signal: AbortSignal): Promise<Duplex | null> {
    const connecting = this.#connect(signal);
    this.#last = connecting.catch(() => null);
    return connecting;
  }

  /** Whether an agent answers. */
  async answers(signal: AbortSignal): Promise<boolean> {
    const last = await this.#last;
    if (last !== null && !last.destroyed) return true;
    const probe = await this.#connect(signal);
    probe?.destroy();
    return probe !== null;
  }
}
