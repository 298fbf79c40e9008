import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { requestOnce } from '../../src/index.js';
import { rawBodies, rawConnect, rawFrame } from './support/raw-client.js';
import { startServer } from './support/test-server.js';

/** A promise that the test settles, and one that tells that somebody waits. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open: (() => void) | undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open?.() };
}

describe('closing a frame server', () => {
  it('lets an answer under way finish, takes no new requests, and removes its socket', async () => {
    const work = gate();
    const begun = gate();
    const { path, server } = await startServer({
      onConnection: async (connection) => {
        for (;;) {
          const body = await connection.read();
          if (body === null) return;
          begun.open();
          await work.opened;
          await connection.write(Buffer.from('done'));
        }
      },
    });
    const busy = await rawConnect(path);
    const idle = await rawConnect(path);
    busy.socket.write(rawFrame('work'));
    await begun.opened;
    const closed = server.close({ timeoutMs: 5000 });
    await expect(requestOnce({ path, body: Buffer.from('x') })).rejects.toMatchObject({
      reason: 'connection.refused',
    });
    expect(existsSync(path)).toBe(false);
    expect(await idle.received).toHaveLength(0);
    work.open();
    expect(rawBodies(await busy.received)).toEqual(['done']);
    await closed;
    expect(server.connections).toBe(0);
  });

  it('destroys what is left at the deadline', async () => {
    const begun = gate();
    const { path, server } = await startServer({
      onConnection: async (connection) => {
        await connection.read();
        begun.open();
        await new Promise<void>((resolve) => connection.signal.addEventListener('abort', () => resolve()));
      },
    });
    const client = await rawConnect(path);
    client.socket.write(rawFrame('work'));
    await begun.opened;
    const started = performance.now();
    await server.close({ timeoutMs: 100 });
    expect(performance.now() - started).toBeGreaterThan(90);
    expect(server.connections).toBe(0);
    await client.closed;
  });

  it('may be called twice, and before anybody connected', async () => {
    const { server } = await startServer();
    await Promise.all([server.close(), server.close()]);
    await server.close();
  });
});
