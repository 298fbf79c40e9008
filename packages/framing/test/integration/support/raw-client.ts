import { connect, type Socket } from 'node:net';

/** A client that knows nothing of this package: it sends exact bytes and collects what comes back. */
export interface RawClient {
  readonly socket: Socket;
  /** Everything received, once the peer has shut down its half (or the connection is gone). */
  readonly received: Promise<Buffer>;
  /** Resolves with the errno that closed the connection, or null for an orderly close. */
  readonly closed: Promise<string | null>;
}

/**
 * Connects, again and again while the server's queue is full. A stubborn client keeps its half open when the peer has
 * ended its own; another one then closes.
 */
export async function rawConnect(path: string, options: { stubborn?: boolean } = {}): Promise<RawClient> {
  for (;;) {
    const client = start(path, options.stubborn ?? false);
    const connected = new Promise<string | null>((resolve) =>
      client.socket.once('connect', () => resolve(null)),
    );
    const errno = await Promise.race([connected, client.closed]);
    if (errno === null) return client;
    if (errno !== 'EAGAIN') throw new Error(`not connected: ${errno}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function start(path: string, allowHalfOpen: boolean): RawClient {
  const socket = connect({ path, allowHalfOpen });
  let errno: string | null = null;
  socket.on('error', (error: NodeJS.ErrnoException) => {
    errno = error.code ?? 'unknown';
  });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const received = new Promise<Buffer>((resolve) => {
    const done = (): void => resolve(Buffer.concat(chunks));
    socket.once('end', done).once('close', done);
  });
  const closed = new Promise<string | null>((resolve) => socket.once('close', () => resolve(errno)));
  return { socket, received, closed };
}

/** A length and a body, encoded by hand. */
export function rawFrame(body: string | Uint8Array, announced?: number): Buffer {
  const bytes = Buffer.from(body);
  const header = Buffer.from([0, 0, 0, 0]);
  header.writeUInt32BE(announced ?? bytes.length);
  return Buffer.concat([header, bytes]);
}

/** The bodies of a stream of frames, decoded by hand; a rest that is no frame is an error. */
export function rawBodies(bytes: Buffer): string[] {
  const bodies: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new Error(`${bytes.length - at} bytes are no frame`);
    bodies.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return bodies;
}
