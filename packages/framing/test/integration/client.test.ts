import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectFrames, requestOnce } from '../../src/index.js';
import { rawFrame } from './support/raw-client.js';
import { afterTest, scratchDir, startServer } from './support/test-server.js';

const body = Buffer.from('request');

/** A bare server of the test's own making. */
async function rawServer(onSocket: (socket: Socket) => void): Promise<string> {
  const path = join(await scratchDir(), 'raw.sock');
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  afterTest(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return path;
}

describe('a frame client', () => {
  it('reports that no process listens, with a hint', async () => {
    const dir = await scratchDir();
    const file = join(dir, 'file');
    writeFileSync(file, '');
    for (const path of [join(dir, 'absent'), file, join(file, 'below')]) {
      const error = await requestOnce({ path, body }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'unavailable', reason: 'connection.refused', retry: 'backoff' });
      expect(error).toHaveProperty('hint', expect.stringContaining('start the server'));
    }
    await expect(connectFrames({ path: join(dir, 'x'.repeat(107)) })).rejects.toMatchObject({
      reason: 'socket.path_too_long',
    });
  });

  it('shuts down its write half after the request', async () => {
    const path = await rawServer((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(rawFrame(`got ${Buffer.concat(chunks).toString('hex')}`)));
    });
    const answer = await requestOnce({ path, body });
    expect(Buffer.from(answer).toString()).toBe(`got ${rawFrame(body).toString('hex')}`);
  });

  it.each<[string, (socket: Socket) => void]>([
    ['closes without an answer', (socket) => socket.resume().on('end', () => socket.end())],
    ['closes at once', (socket) => socket.destroy()],
  ])('tells that the server %s', async (_name, onSocket) => {
    const path = await rawServer(onSocket);
    await expect(requestOnce({ path, body })).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'connection.closed',
    });
  });

  it('tells that the server was killed in the middle of a request', async () => {
    const path = join(await scratchDir(), 'killed.sock');
    const script = `require('node:net').createServer((s) => s.resume()).listen(${JSON.stringify(path)}, () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const request = expect(requestOnce({ path, body })).rejects.toMatchObject({
      reason: 'connection.closed',
    });
    setTimeout(() => child.kill('SIGKILL'), 50);
    await request;
  });

  it('tells a truncated answer, an oversized one, and garbage', async () => {
    const truncated = await rawServer((socket) => socket.resume().end(rawFrame('abc', 10)));
    await expect(requestOnce({ path: truncated, body })).rejects.toMatchObject({ reason: 'frame.truncated' });
    const garbage = await rawServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await expect(requestOnce({ path: garbage, body })).rejects.toMatchObject({ reason: 'frame.too_large' });
    const { path } = await startServer();
    await expect(requestOnce({ path, body, maxFrameBytes: 3 })).rejects.toMatchObject({
      reason: 'frame.too_large',
    });
  });

  it('gives up a server that never answers, or never finishes its answer', async () => {
    const silent = await rawServer((socket) => socket.resume());
    const started = performance.now();
    await expect(requestOnce({ path: silent, body, responseTimeoutMs: 100 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'response.timeout',
    });
    expect(performance.now() - started).toBeLessThan(2000);
    const stuck = await rawServer((socket) => socket.resume().write(rawFrame('abc', 10)));
    await expect(requestOnce({ path: stuck, body, responseTimeoutMs: 100 })).rejects.toMatchObject({
      reason: 'response.timeout',
    });
    const connection = await connectFrames({ path: stuck, frameTimeoutMs: 100 });
    afterTest(async () => connection.destroy());
    await expect(connection.read()).rejects.toMatchObject({ reason: 'frame.timeout' });
  });

  it('gives up a server that does not read a large request', async () => {
    const path = await rawServer((socket) => socket.pause());
    const large = Buffer.alloc(1_048_576);
    await expect(requestOnce({ path, body: large, responseTimeoutMs: 200 })).rejects.toMatchObject({
      reason: 'response.timeout',
    });
  });

  it('waits for a server whose queue is full, then gives up', async () => {
    const path = join(await scratchDir(), 'full.sock');
    // Listens with the smallest queue and never accepts: its event loop stands still.
    const script = `
      const server = require('node:net').createServer();
      server.listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
        process.stdout.write('up', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
      });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    afterTest(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    await once(child.stdout, 'data');
    const attempts = Array.from({ length: 8 }, () => connectFrames({ path, connectTimeoutMs: 300 }));
    const results = await Promise.allSettled(attempts);
    for (const result of results) {
      if (result.status === 'fulfilled') result.value.destroy();
      else expect(result.reason).toMatchObject({ code: 'unavailable', reason: 'connection.timeout' });
    }
    expect(results.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
  });

  it('is canceled by its signal, before and during the request', async () => {
    const path = await rawServer((socket) => socket.resume());
    await expect(requestOnce({ path, body, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'canceled',
      reason: 'request.canceled',
    });
    const controller = new AbortController();
    const request = expect(requestOnce({ path, body, signal: controller.signal })).rejects.toMatchObject({
      reason: 'request.canceled',
    });
    setTimeout(() => controller.abort(), 30);
    await request;
  });

  it('rejects what waits on a connection that is destroyed, and every call after', async () => {
    const { path } = await startServer();
    const connection = await connectFrames({ path });
    const read = expect(connection.read()).rejects.toMatchObject({ reason: 'connection.closed' });
    connection.destroy();
    await read;
    expect(connection.signal.aborted).toBe(true);
    await expect(connection.read()).rejects.toMatchObject({ reason: 'connection.closed' });
    await expect(connection.write(body)).rejects.toMatchObject({ reason: 'connection.closed' });
  });

  it('lets one reader wait at a time', async () => {
    const { path } = await startServer();
    const connection = await connectFrames({ path });
    const first = connection.read();
    await expect(connection.read()).rejects.toThrow('another read()');
    await connection.write(body);
    expect(await first).toEqual(body);
    connection.destroy();
  });
});
