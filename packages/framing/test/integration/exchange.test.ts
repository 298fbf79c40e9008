import { describe, expect, it } from 'vitest';
import { type Codec, connectFrames, recvMessage, requestOnce, sendMessage } from '../../src/index.js';
import { rawBodies, rawConnect, rawFrame } from './support/raw-client.js';
import { afterTest, startServer } from './support/test-server.js';

const MIB = 1_048_576;

describe('a frame server', () => {
  it('answers a client that shut down its write half', async () => {
    const { path } = await startServer({
      onConnection: async (connection) => {
        const body = await connection.read();
        // The half-close has been seen before the answer is made.
        expect(await connection.read()).toBeNull();
        await connection.write(Buffer.from(`got ${Buffer.from(body ?? []).toString()}`));
      },
    });
    const client = await rawConnect(path);
    client.socket.end(rawFrame('"Ping"'));
    expect(rawBodies(await client.received)).toEqual(['got "Ping"']);
    expect(await client.closed).toBeNull();
  });

  it('decodes what comes byte by byte, and many frames in one piece', async () => {
    const { path } = await startServer();
    const client = await rawConnect(path);
    client.socket.setNoDelay();
    for (const byte of rawFrame('slow')) {
      await new Promise<void>((resolve) => client.socket.write(Buffer.from([byte]), () => resolve()));
    }
    const many = Array.from({ length: 500 }, (_, index) => `frame ${index}`);
    client.socket.end(Buffer.concat([rawFrame(''), ...many.map((body) => rawFrame(body))]));
    expect(rawBodies(await client.received)).toEqual(['slow', '', ...many]);
  });

  it('takes a frame of 1 MiB and answers one of 1 MiB + 1, sent whole, with an error', async () => {
    const { path } = await startServer();
    const good = await requestOnce({ path, body: Buffer.alloc(MIB, 0x61) });
    expect(Buffer.from(good).equals(Buffer.alloc(MIB, 0x61))).toBe(true);
    const client = await rawConnect(path);
    client.socket.end(rawFrame(Buffer.alloc(MIB + 1)));
    expect(rawBodies(await client.received)).toEqual(['error: frame.too_large']);
    expect(await client.closed).toBeNull();
  });

  it('answers valid frames before the garbage behind them, then an error, and serves others on', async () => {
    const { path } = await startServer();
    const client = await rawConnect(path, { stubborn: true });
    client.socket.write(Buffer.concat([rawFrame('good'), Buffer.from('GET / HTTP/1.1\r\n\r\n')]));
    expect(rawBodies(await client.received)).toEqual(['good', 'error: frame.too_large']);
    client.socket.end();
    expect(Buffer.from(await requestOnce({ path, body: Buffer.from('x') })).toString()).toBe('x');
  });

  it.each([2, 4, 7])('tells a frame truncated after %i bytes', async (count) => {
    const { path } = await startServer();
    const client = await rawConnect(path);
    client.socket.end(rawFrame('hello').subarray(0, count));
    expect(rawBodies(await client.received)).toEqual(['error: frame.truncated']);
  });

  it('closes a connection without an answer when the peer sent nothing', async () => {
    const { path, reasons } = await startServer();
    const client = await rawConnect(path);
    client.socket.end();
    expect(await client.received).toHaveLength(0);
    expect(await client.closed).toBeNull();
    expect(reasons).toEqual([]);
  });

  it('keeps the order of frames written without waiting, small and large', async () => {
    const bodies = [10, 0, 70_000, 3, 0, 200_000, 0].map((size, index) => Buffer.alloc(size, 0x61 + index));
    const { path } = await startServer({
      onConnection: async (connection) => {
        await connection.read();
        await Promise.all(bodies.map((body) => connection.write(body)));
      },
    });
    const client = await rawConnect(path);
    client.socket.end(rawFrame('go'));
    expect(rawBodies(await client.received)).toEqual(bodies.map((body) => body.toString()));
  });

  it('reports a handler that failed, drops its connection, and goes on', async () => {
    const { path, reported } = await startServer({
      onConnection: (connection) => {
        // Not even a promise: as bad as a handler gets.
        if (connection.socket.destroyed === false) throw new TypeError('oops');
        return Promise.resolve();
      },
    });
    const client = await rawConnect(path);
    await client.closed;
    expect(await reported('handler.failed')).toMatchObject({
      code: 'internal',
      cause: expect.any(TypeError),
    });
    await (await rawConnect(path)).closed;
  });

  it('refuses whom authorize refuses, synchronously or not, and serves the rest', async () => {
    let turn = 0;
    const { path, reasons } = await startServer({
      authorize: () => {
        turn += 1;
        if (turn === 1) throw new Error('uid 65534');
        if (turn === 2) return Promise.reject(new Error('uid 65533'));
        return turn === 3 ? Promise.resolve() : undefined;
      },
    });
    for (let count = 0; count < 2; count += 1) {
      await expect(requestOnce({ path, body: Buffer.from('x') })).rejects.toMatchObject({
        reason: 'connection.closed',
      });
    }
    expect(reasons).toEqual(['connection.unauthorized', 'connection.unauthorized']);
    for (let count = 0; count < 2; count += 1) {
      expect(await requestOnce({ path, body: Buffer.from('x') })).toHaveLength(1);
    }
  });

  it('carries messages of any codec over connections', async () => {
    const json: Codec<unknown> = {
      encode: (value) => Buffer.from(JSON.stringify(value)),
      decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()),
    };
    const { path } = await startServer({
      onConnection: async (connection) => {
        const message = await recvMessage(connection, json);
        await sendMessage(connection, json, { got: message });
      },
    });
    const connection = await connectFrames({ path });
    afterTest(async () => connection.destroy());
    await sendMessage(connection, json, [1, 'two']);
    expect(await recvMessage(connection, json)).toEqual({ got: [1, 'two'] });
    expect(await recvMessage(connection, json)).toBeNull();
  });

  it('aborts the signal when the peer has gone, not when it has only ended its half', async () => {
    const seen: { aborted: boolean[]; gone?: Promise<void> } = { aborted: [] };
    const { path } = await startServer({
      onConnection: async (connection) => {
        await connection.read();
        expect(await connection.read()).toBeNull();
        seen.aborted.push(connection.signal.aborted);
        seen.gone = new Promise((resolve) => connection.signal.addEventListener('abort', () => resolve()));
        await connection.write(Buffer.alloc(MIB));
        await connection.write(Buffer.alloc(MIB));
      },
    });
    const client = await rawConnect(path);
    client.socket.pause();
    client.socket.end(rawFrame('x'));
    await expect.poll(() => seen.gone !== undefined).toBe(true);
    client.socket.destroy();
    await seen.gone;
    expect(seen.aborted).toEqual([false]);
  });
});
