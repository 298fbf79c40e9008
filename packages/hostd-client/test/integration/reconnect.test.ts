import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { afterTest, client, scratchPath, serve, version2 } from './support/servers.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-00000001' };
const framing = new URL('../../../framing/dist/index.js', import.meta.url).href;
const protocol = new URL('../../../protocol/dist/index.js', import.meta.url).href;

/** A hostd in a process of its own, which can be killed; it greets, answers Ping, and says nothing to the rest. */
async function spawnHostd(path: string): Promise<{ kill(): Promise<void> }> {
  const script = `
    const { createFrameServer } = await import(${JSON.stringify(framing)});
    const { clientFrameCodec, serverFrameCodec } = await import(${JSON.stringify(protocol)});
    const server = createFrameServer({
      onConnection: async (connection) => {
        for (let body = await connection.read(); body !== null; body = await connection.read()) {
          const frame = clientFrameCodec.decode(body);
          if (frame.type === 'Hello') {
            const welcome = { type: 'Welcome', version: 2, server: 'killable', features: [] };
            await connection.write(serverFrameCodec.encode(welcome));
          } else if (frame.request.type === 'Ping') {
            await connection.write(serverFrameCodec.encode({ type: 'response', id: frame.id, response: { type: 'Pong' } }));
          } else process.stdout.write('reached');
        }
      },
    });
    await server.listen({ path: ${JSON.stringify(path)} });
    process.stdout.write('up');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  afterTest(kill);
  await once(child.stdout, 'data');
  child.stdout.once('data', () => child.kill('SIGKILL'));
  return { kill };
}

describe('a hostd client whose hostd goes away', () => {
  it('tells that hostd cannot be reached, with what to try', async () => {
    const path = await scratchPath();
    const hostdClient = client(path);
    const error = await hostdClient.request({ type: 'Ping' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'unavailable',
      reason: 'hostd.unreachable',
      retry: 'backoff',
      hint: 'is mvm-hostd running? try: systemctl status mvm-hostd, or mvm doctor',
      details: { errno: 'ENOENT', socket_path: path },
    });
    expect(hostdClient.version()).toBeNull();
    await serve(
      version2(() => ({ type: 'Pong' })),
      path,
    );
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('rejects a change whose answer was lost when hostd was killed, without sending it again', async () => {
    const path = await scratchPath();
    await spawnHostd(path);
    const hostdClient = client(path);
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    await expect(hostdClient.request({ type: 'StopInstance', ...address })).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'hostd.disconnected',
      hint: expect.stringContaining('look at the state'),
    });
    await expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      reason: 'hostd.unreachable',
    });
    await spawnHostd(path);
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('sends a read-only request again over a new connection, and a change never', async () => {
    const seen: string[] = [];
    let connections = 0;
    const hostd = version2((request, _id, connection) => {
      seen.push(request.type);
      if (request.type === 'StopInstance' || (request.type === 'HostInfo' && connections === 1)) {
        connection.destroy();
      }
      return { type: 'Pong' };
    });
    const { path } = await serve((connection) => {
      connections += 1;
      return hostd(connection);
    });
    const hostdClient = client(path);
    await hostdClient.request({ type: 'Ping' });
    // Pong is not the answer to HostInfo, but it shows that the second attempt was answered.
    await expect(hostdClient.request({ type: 'HostInfo' })).rejects.toMatchObject({
      reason: 'hostd.bad_answer',
    });
    await expect(hostdClient.request({ type: 'StopInstance', ...address })).rejects.toMatchObject({
      reason: 'hostd.disconnected',
    });
    expect(seen).toEqual(['Ping', 'HostInfo', 'HostInfo', 'StopInstance']);
    expect(connections).toBe(2);
  });

  it('goes on after hostd was restarted in order, for every request that waits', async () => {
    const path = await scratchPath();
    const first = await serve(
      version2(() => ({ type: 'Pong' })),
      path,
    );
    const hostdClient = client(path);
    await hostdClient.request({ type: 'Ping' });
    await first.server.close();
    await serve(
      version2(() => ({ type: 'Pong' })),
      path,
    );
    const pongs = await Promise.all(Array.from({ length: 10 }, () => hostdClient.request({ type: 'Ping' })));
    expect(pongs).toHaveLength(10);
  });

  it('does not let one request that gives up spoil the connection for the others', async () => {
    let release: (() => void) | undefined;
    const ready = new Promise<void>((resolve) => {
      release = resolve;
    });
    const hostd = version2(() => ({ type: 'Pong' }));
    const { path } = await serve(async (connection) => {
      await ready;
      return hostd(connection);
    });
    const hostdClient = client(path);
    const impatient = expect(hostdClient.request({ type: 'Ping' }, { timeoutMs: 30 })).rejects.toMatchObject({
      reason: 'hostd.timeout',
    });
    const patient = hostdClient.request({ type: 'Ping' });
    await impatient;
    release?.();
    expect(await patient).toEqual({ type: 'Pong' });
  });
});
