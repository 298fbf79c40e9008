import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { Server } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFrameServer, requestOnce } from '../../src/index.js';
import { afterTest, echo, scratchDir, startServer } from './support/test-server.js';

/** Leaves a socket file behind on which nobody listens, as a daemon that was killed does. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  await once(child, 'exit');
  expect(lstatSync(path).isSocket()).toBe(true);
}

describe('listening on a path', () => {
  it('replaces a socket without a listener', async () => {
    const path = join(await scratchDir(), 'stale.sock');
    await leaveStaleSocket(path);
    await startServer({}, path);
    expect(Buffer.from(await requestOnce({ path, body: Buffer.from('x') })).toString()).toBe('x');
    expect(readdirSync(dirname(path))).toEqual(['stale.sock']);
  });

  it('refuses a path on which another server answers, which goes on', async () => {
    const first = await startServer();
    const second = createFrameServer({ onConnection: echo });
    await expect(second.listen({ path: first.path })).rejects.toMatchObject({
      reason: 'socket.in_use',
      code: 'failed_precondition',
    });
    expect(await requestOnce({ path: first.path, body: Buffer.from('x') })).toHaveLength(1);
    await second.close();
    expect(await requestOnce({ path: first.path, body: Buffer.from('x') })).toHaveLength(1);
  });

  it('lets exactly one of many win that start at once over a stale socket', async () => {
    const path = join(await scratchDir(), 'race.sock');
    await leaveStaleSocket(path);
    const servers = Array.from({ length: 8 }, () => createFrameServer({ onConnection: echo }));
    afterTest(() => Promise.all(servers.map((server) => server.close())));
    const results = await Promise.allSettled(servers.map((server) => server.listen({ path })));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ reason: 'socket.in_use' });
    }
    expect(await requestOnce({ path, body: Buffer.from('x') })).toHaveLength(1);
    expect(readdirSync(dirname(path))).toEqual(['race.sock']);
  });

  it('never removes what is no socket', async () => {
    const path = join(await scratchDir(), 'file');
    writeFileSync(path, 'precious');
    const server = createFrameServer({ onConnection: echo });
    await expect(server.listen({ path })).rejects.toMatchObject({ reason: 'socket.path_occupied' });
    expect(statSync(path).size).toBe(8);
  });

  it('refuses a path that does not fit, where the kernel would cut it short', async () => {
    const dir = await scratchDir();
    const longest = join(dir, 'x'.repeat(107 - dir.length - 1));
    const { path } = await startServer({}, longest);
    expect(await requestOnce({ path, body: Buffer.from('x') })).toHaveLength(1);
    const server = createFrameServer({ onConnection: echo });
    await expect(server.listen({ path: `${longest}y` })).rejects.toMatchObject({
      reason: 'socket.path_too_long',
    });
    expect(existsSync(`${longest}y`)).toBe(false);
  });

  it('tells why the socket could not be made', async () => {
    const server = createFrameServer({ onConnection: echo });
    await expect(server.listen({ path: '/nonexistent-dir/x.sock' })).rejects.toMatchObject({
      reason: 'socket.listen_failed',
    });
  });

  it('binds without any permission, and sets mode and group before it goes on', async () => {
    const path = join(await scratchDir(), 'mode.sock');
    const modes: number[] = [];
    const original = Server.prototype.listen;
    const watched = createFrameServer({ onConnection: echo });
    afterTest(() => watched.close());
    const umask = process.umask();
    Server.prototype.listen = function listen(this: Server, ...args: never[]): Server {
      const result = Reflect.apply(original, this, args) as Server;
      modes.push(statSync(path).mode & 0o777);
      return result;
    } as typeof original;
    try {
      await watched.listen({ path, mode: 0o660, gid: process.getgid?.() ?? 0 });
    } finally {
      Server.prototype.listen = original;
    }
    expect(modes).toEqual([0]);
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(statSync(path).gid).toBe(process.getgid?.());
    expect(process.umask()).toBe(umask);
  });

  it('is for the owner alone unless told otherwise', async () => {
    const { path } = await startServer();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe('listening on an inherited descriptor', () => {
  it('serves on a socket that somebody else bound, and leaves its file', async () => {
    const path = join(await scratchDir(), 'inherited.sock');
    const index = new URL('../../dist/index.js', import.meta.url).href;
    const daemon = `
      const { createFrameServer } = await import(${JSON.stringify(index)});
      const server = createFrameServer({
        onConnection: async (connection) => {
          const body = await connection.read();
          await connection.write(Buffer.from(process.pid + ' ' + Buffer.from(body ?? [])));
        },
      });
      await server.listen({ fd: 3 });
      process.stdout.write(String(process.pid));
      process.on('SIGTERM', () => server.close());
    `;
    // Binds, hands the descriptor down, and is gone, as systemd is out of the way.
    const activator = `
      const server = require('node:net').createServer().listen(${JSON.stringify(path)}, () => {
        const stdio = ['ignore', 'inherit', 'inherit', server._handle.fd];
        require('node:child_process').spawn(process.execPath, ['--input-type=module', '-e', process.argv[1]], { stdio });
        process.kill(process.pid, 'SIGKILL');
      });
    `;
    const child = spawn(process.execPath, ['-e', activator, daemon], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(child.stdout, 'close');
    const [announced] = (await once(child.stdout, 'data')) as [Buffer];
    const pid = Number(announced);
    afterTest(async () => {
      if (!child.stdout.closed) process.kill(pid, 'SIGKILL');
      await gone;
    });
    const answer = await requestOnce({ path, body: Buffer.from('hi'), responseTimeoutMs: 5000 });
    expect(Buffer.from(answer).toString()).toBe(`${pid} hi`);
    process.kill(pid, 'SIGTERM');
    await gone;
    expect(existsSync(path)).toBe(true);
    await expect(requestOnce({ path, body: Buffer.from('hi') })).rejects.toMatchObject({
      reason: 'connection.refused',
    });
  });

  it.each([99_999, -1])('refuses descriptor %i, which is no socket', async (fd) => {
    const server = createFrameServer({ onConnection: echo });
    await expect(server.listen({ fd })).rejects.toMatchObject({ reason: 'socket.fd_invalid' });
  });
});
