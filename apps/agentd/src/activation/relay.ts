import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';

/** How long the guest's program may take to listen: it may be booting. */
const CONNECT_MS = 15_000;
const ATTEMPT_MS = 1000;
const AGAIN_AFTER_MS = 50;
/** A connection on which nothing was sent for so long is closed. */
const SILENT_MS = 3_600_000;
const KEEP_ALIVE_MS = 60_000;

/**
 * Connects to a program in a guest that runs, trying again until it listens. Throws `activation.not_listening` when it
 * does not in time.
 */
export async function connectGuest(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const deadline = performance.now() + CONNECT_MS;
  for (;;) {
    signal.throwIfAborted();
    const socket = await attempt(host, port);
    if (typeof socket !== 'string') return socket;
    if (performance.now() > deadline) throw notListening(host, port, socket);
    await pause(AGAIN_AFTER_MS, undefined, { signal });
  }
}

/** The connected socket, or why there is none. */
function attempt(host: string, port: number): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => fail('ETIMEDOUT'), ATTEMPT_MS);
    function fail(why: string): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(why);
    }
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

/** Passes bytes on in both directions, ends included, until both have ended or one fails; never more than it can pass on. */
export function relay(client: Socket, guest: Socket): void {
  for (const [one, other] of [
    [client, guest],
    [guest, client],
  ] as const) {
    one.setKeepAlive(true, KEEP_ALIVE_MS);
    one.setTimeout(SILENT_MS, () => one.destroy());
    one.on('error', () => {});
    // An end was passed on before; this is the other's failure, or its reset.
    one.once('close', (hadError) => {
      if (hadError) other.resetAndDestroy();
      else if (!other.writableEnded) other.destroy();
    });
    one.pipe(other);
  }
}

function notListening(host: string, port: number, why: string): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'activation.not_listening',
    message: `the instance runs, and nothing in it takes connections at ${host} port ${port}: ${why}`,
    hint: 'Look at its console: mvm instance logs. The program must listen on the guest’s address, not only on 127.0.0.1.',
    details: { host, port, errno: why },
  });
}
