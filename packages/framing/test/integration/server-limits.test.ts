import { describe, expect, it } from 'vitest';
import { connectFrames, requestOnce } from '../../src/index.js';
import { type RawClient, rawBodies, rawConnect, rawFrame } from './support/raw-client.js';
import { echo, startServer } from './support/test-server.js';

const ping = (path: string): Promise<Uint8Array> => requestOnce({ path, body: Buffer.from('ping') });

describe('a frame server under its limits', () => {
  it('drops a length without a body on time, while others are served', async () => {
    let slowGone = false;
    let turn = 0;
    const { path } = await startServer({
      limits: { frameTimeoutMs: 200, lingerTimeoutMs: 100 },
      onConnection: (connection) => {
        turn += 1;
        if (turn === 1) {
          connection.signal.addEventListener('abort', () => {
            slowGone = true;
          });
        }
        return echo(connection);
      },
    });
    const slow = await rawConnect(path, { stubborn: true });
    const started = performance.now();
    slow.socket.write(rawFrame('', 1000));
    let served = 0;
    while (!slowGone && performance.now() - started < 5000) {
      await ping(path);
      served += 1;
    }
    const elapsed = performance.now() - started;
    expect(elapsed).toBeGreaterThan(200);
    expect(elapsed).toBeLessThan(2000);
    expect(served).toBeGreaterThan(5);
    expect(rawBodies(await slow.received)).toEqual(['error: frame.timeout']);
    slow.socket.destroy();
  });

  it('counts a frame from its first byte: a byte now and then does not help', async () => {
    const { path } = await startServer({ limits: { frameTimeoutMs: 200, lingerTimeoutMs: 100 } });
    const slow = await rawConnect(path);
    const drip = setInterval(() => slow.socket.write('\0'), 20);
    slow.socket.write(rawFrame('', 1000));
    expect(rawBodies(await slow.received)).toEqual(['error: frame.timeout']);
    clearInterval(drip);
    slow.socket.destroy();
  });

  it('closes who sends nothing, and who sends nothing more', async () => {
    const { path, reasons } = await startServer({ limits: { firstByteTimeoutMs: 100, idleTimeoutMs: 400 } });
    const silent = await rawConnect(path);
    const idle = await rawConnect(path);
    const started = performance.now();
    idle.socket.write(rawFrame('hello'));
    await silent.closed;
    const first = performance.now() - started;
    await idle.closed;
    const second = performance.now() - started;
    expect(first).toBeGreaterThan(90);
    expect(second).toBeGreaterThan(390);
    expect(first).toBeLessThan(second);
    expect(rawBodies(await idle.received)).toEqual(['hello']);
    expect(reasons).toEqual(['connection.idle', 'connection.idle']);
  });

  it('does not count time in which the handler works or holds the connection', async () => {
    const { path, server } = await startServer({
      limits: { firstByteTimeoutMs: 50, idleTimeoutMs: 50 },
      onConnection: async (connection) => {
        const body = await connection.read();
        const release = connection.hold();
        const next = connection.read();
        await new Promise((resolve) => setTimeout(resolve, 300));
        await connection.write(body ?? new Uint8Array());
        release();
        release();
        expect(await next).toBeNull();
      },
    });
    const client = await rawConnect(path);
    client.socket.write(rawFrame('long'));
    await client.closed;
    expect(rawBodies(await client.received)).toEqual(['long']);
    await expect.poll(() => server.connections).toBe(0);
  });

  it('serves a good client beside 2000 idle ones, and gets rid of them', async () => {
    const { path, server, reasons } = await startServer({ limits: { firstByteTimeoutMs: 3000 } });
    const idle: RawClient[] = [];
    for (let batch = 0; batch < 20; batch += 1) {
      idle.push(...(await Promise.all(Array.from({ length: 100 }, () => rawConnect(path)))));
    }
    await expect.poll(() => server.connections).toBe(2000);
    const started = performance.now();
    for (let count = 0; count < 50; count += 1) await ping(path);
    const perRequestMs = (performance.now() - started) / 50;
    expect(perRequestMs).toBeLessThan(50);
    for (const client of idle) await client.closed;
    await expect.poll(() => server.connections).toBe(0);
    expect(reasons.filter((reason) => reason === 'connection.idle')).toHaveLength(2000);
    expect(await ping(path)).toHaveLength(4);
  });

  it('closes at once what exceeds the connections, counts it, and serves those that it has', async () => {
    const { path, server, reported } = await startServer({ limits: { maxConnections: 2 } });
    const first = await connectFrames({ path });
    const second = await connectFrames({ path });
    const excess = await rawConnect(path);
    await excess.closed;
    expect(await reported('connection.too_many')).toMatchObject({
      code: 'resource_exhausted',
      details: { max_connections: 2, refused: 1 },
    });
    expect([server.connections, server.refused]).toEqual([2, 1]);
    for (const connection of [first, second]) {
      await connection.write(Buffer.from('still here'));
      expect(await connection.read()).toHaveLength(10);
      connection.destroy();
    }
    await expect.poll(() => server.connections).toBe(0);
    expect(await ping(path)).toHaveLength(4);
  });

  it('destroys a peer that never reads, having held only what may wait', async () => {
    let written = 0;
    const outcome: { error?: unknown } = {};
    const { path, server, reported, reasons } = await startServer({
      limits: { writeTimeoutMs: 200 },
      onConnection: async (connection) => {
        try {
          for (;;) {
            await connection.write(Buffer.alloc(262_144));
            written += 1;
          }
        } catch (error) {
          outcome.error = error;
          throw error;
        }
      },
    });
    const client = await rawConnect(path);
    client.socket.pause();
    await reported('connection.write_timeout');
    await expect
      .poll(() => outcome.error)
      .toMatchObject({ reason: 'connection.write_timeout', code: 'deadline_exceeded' });
    expect(reasons).toEqual(['connection.write_timeout']);
    // What the kernel holds for a Unix socket is a few hundred KiB.
    expect(written).toBeLessThan(16);
    await expect.poll(() => server.connections).toBe(0);
    client.socket.destroy();
    await client.closed;
  });

  it('refuses to queue more than may wait, and goes on with what it queued', async () => {
    const outcomes: PromiseSettledResult<void>[] = [];
    const { path } = await startServer({
      limits: { maxWriteQueueBytes: 3_000_000 },
      onConnection: async (connection) => {
        await connection.read();
        const writes = Array.from({ length: 5 }, () => connection.write(Buffer.alloc(1_000_000)));
        outcomes.push(...(await Promise.allSettled(writes)));
      },
    });
    const client = await rawConnect(path);
    client.socket.end(rawFrame('go'));
    expect(rawBodies(await client.received)).toHaveLength(2);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
    ]);
    expect(outcomes[4]).toMatchObject({
      reason: { reason: 'connection.write_queue_full', retry: 'backoff' },
    });
  });

  it('stops reading from a peer whose frames are not taken', async () => {
    let taken = 0;
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { path } = await startServer({
      // The limit on a frame's time must not punish the peer for our own pause.
      limits: { frameTimeoutMs: 150 },
      onConnection: async (connection) => {
        await gate;
        while ((await connection.read()) !== null) taken += 1;
        await connection.write(Buffer.from(String(taken)));
      },
    });
    const client = await rawConnect(path);
    const frame = rawFrame(Buffer.alloc(100_000));
    const sent = new Promise<void>((resolve) => {
      for (let count = 0; count < 99; count += 1) client.socket.write(frame);
      client.socket.end(frame, () => resolve());
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const buffered = client.socket.writableLength;
    expect(buffered).toBeGreaterThan(9_000_000);
    release?.();
    await sent;
    expect(rawBodies(await client.received)).toEqual(['100']);
  });

  it('gives the last answer time to be read, but not for ever, and stops reading what is not wanted', async () => {
    const { path, server } = await startServer({
      limits: { lingerTimeoutMs: 150, maxDiscardBytes: 500_000 },
      onConnection: async (connection) => {
        await connection.read();
        await connection.write(Buffer.from('bye'));
      },
    });
    const client = await rawConnect(path, { stubborn: true });
    client.socket.write(rawFrame('x'));
    client.socket.write(Buffer.alloc(4_000_000));
    expect(rawBodies(await client.received)).toEqual(['bye']);
    expect(server.connections).toBe(1);
    // What was not read is lost: the connection is not closed in order, but reset.
    expect(await client.closed).toMatch(/^(EPIPE|ECONNRESET)$/);
    await expect.poll(() => server.connections).toBe(0);
  });
});
