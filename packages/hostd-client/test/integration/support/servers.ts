import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFrameServer, type FrameConnection, type FrameServer } from '@mvm/framing';
import {
  clientFrameCodec,
  decodeFirstFrame,
  errorToResponse,
  type ServerFrame,
  serverFrameCodec,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { type V1Request, type V1Response, v1RequestCodec, v1ResponseCodec } from '@mvm/protocol/v1';
import { afterEach } from 'vitest';
import { createHostdClient, type HostdClient, type HostdClientOptions } from '../../../src/index.js';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Registers something to be undone after the test, last first. */
export function afterTest(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

/** A socket path in a directory of the test's own. */
export async function scratchPath(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), `mvm-hostd-client-${process.pid}-`));
  afterTest(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'hostd.sock');
}

/** Any server of frames, closed after the test. */
export async function serve(
  onConnection: (connection: FrameConnection) => Promise<void>,
  path?: string,
): Promise<{ path: string; server: FrameServer }> {
  const socketPath = path ?? (await scratchPath());
  const server = createFrameServer({ onConnection });
  await server.listen({ path: socketPath });
  afterTest(() => server.close({ timeoutMs: 100 }));
  return { path: socketPath, server };
}

/** A hostd of version 1. `onUndecodable`: what it does with a request that it does not know, such as Hello. */
export function version1(
  answer: (request: V1Request) => V1Response | Promise<V1Response>,
  onUndecodable: 'close' | 'error' = 'close',
): (connection: FrameConnection) => Promise<void> {
  return async (connection) => {
    const body = await connection.read();
    if (body === null) return;
    let response: V1Response;
    try {
      response = await answer(v1RequestCodec.decode(body));
    } catch {
      if (onUndecodable === 'close') return;
      response = { type: 'Error', message: 'unknown request' };
    }
    await connection.write(v1ResponseCodec.encode(response));
  };
}

/** Answers one request of a version 2 connection. */
export type Answer = (
  request: V2Request,
  id: number,
  connection: FrameConnection,
) => V2Response | Promise<V2Response>;

/** Writes one frame of version 2. */
export function sendFrame(connection: FrameConnection, frame: ServerFrame): Promise<void> {
  return connection.write(serverFrameCodec.encode(frame));
}

/** A hostd of version 2, which speaks version 1 too. */
export function version2(answer: Answer): (connection: FrameConnection) => Promise<void> {
  return async (connection) => {
    const body = await connection.read();
    if (body === null) return;
    const first = decodeFirstFrame(body);
    if (first.type === 'v1') {
      await connection.write(v1ResponseCodec.encode({ type: 'Pong' }));
      return;
    }
    await sendFrame(connection, { type: 'Welcome', version: 2, server: 'test-hostd/1', features: ['logs'] });
    const working = new Set<Promise<void>>();
    for (let frame = await connection.read(); frame !== null; frame = await connection.read()) {
      const message = clientFrameCodec.decode(frame);
      if (message.type !== 'request') throw new Error(`unexpected ${message.type}`);
      const { id, request } = message;
      const work = Promise.resolve()
        .then(() => answer(request, id, connection))
        .catch(errorToResponse)
        .then((response) => sendFrame(connection, { type: 'response', id, response }))
        .catch(() => {})
        .finally(() => working.delete(work));
      working.add(work);
    }
    await Promise.all(working);
  };
}

/** A client, closed after the test. */
export function client(path: string, options: Partial<HostdClientOptions> = {}): HostdClient {
  const made = createHostdClient({ socketPath: path, clientName: 'test', ...options });
  afterTest(() => made.close());
  return made;
}
