import { CodedError } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { client, sendFrame, serve, version1, version2 } from './support/servers.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-00000001' };

describe('a hostd client and a version 1 hostd', () => {
  it.each(['close', 'error'] as const)('falls back when Hello is answered by %s', async (onUndecodable) => {
    const seen: string[] = [];
    const { path } = await serve(
      version1((request) => {
        seen.push(request.type);
        return request.type === 'Ping' ? { type: 'Pong' } : { type: 'Ok' };
      }, onUndecodable),
    );
    const hostdClient = client(path);
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    expect(await hostdClient.request({ type: 'StartInstance', ...address })).toEqual({ type: 'Ok' });
    expect(seen).toEqual(['Ping', 'StartInstance']);
    expect([hostdClient.version(), hostdClient.server]).toEqual([1, null]);
  });

  it('throws an Error of version 1 with its message', async () => {
    const { path } = await serve(version1(() => ({ type: 'Error', message: 'start failed: no image' })));
    const error = await client(path)
      .request({ type: 'StartInstance', ...address })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CodedError);
    expect(error).toMatchObject({
      code: 'internal',
      reason: 'peer.error',
      message: 'start failed: no image',
    });
  });

  it('tells that a request needs version 2, without sending it', async () => {
    const seen: string[] = [];
    const { path } = await serve(
      version1((request) => {
        seen.push(request.type);
        return { type: 'Pong' };
      }),
    );
    await expect(client(path).request({ type: 'HostInfo' })).rejects.toMatchObject({
      code: 'protocol_mismatch',
      reason: 'hostd.version_too_old',
      hint: expect.stringContaining('same release'),
    });
    expect(seen).toEqual([]);
  });

  it('finds version 2 when hostd has been replaced, at once for what needs it', async () => {
    const { path, server } = await serve(version1(() => ({ type: 'Pong' })));
    const hostdClient = client(path);
    await hostdClient.request({ type: 'Ping' });
    await server.close();
    await serve(
      version2(() => ({ type: 'Instances', instances: [], next_cursor: null })),
      path,
    );
    expect(await hostdClient.request({ type: 'ListInstances' })).toMatchObject({ instances: [] });
    expect(hostdClient.version()).toBe(2);
  });

  it('forgets version 1 after its time', async () => {
    let hellos = 0;
    const hostd = version1(() => ({ type: 'Pong' }));
    const { path } = await serve((connection) => {
      hellos += 1;
      return hostd(connection);
    });
    const hostdClient = client(path, { version1MemoryMs: 30 });
    await hostdClient.request({ type: 'Ping' });
    await hostdClient.request({ type: 'Ping' });
    expect(hellos).toBe(3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await hostdClient.request({ type: 'Ping' });
    expect(hellos).toBe(5);
  });

  it('gives up in time, by signal and by close', async () => {
    const { path } = await serve(version1(() => new Promise(() => {})));
    const hostdClient = client(path);
    await expect(hostdClient.request({ type: 'Ping' }, { timeoutMs: 100 })).rejects.toMatchObject({
      reason: 'hostd.timeout',
    });
    const controller = new AbortController();
    const canceled = expect(
      hostdClient.request({ type: 'Ping' }, { signal: controller.signal }),
    ).rejects.toMatchObject({ reason: 'hostd.canceled' });
    setTimeout(() => controller.abort(), 30);
    await canceled;
    const closed = expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      reason: 'hostd.client_closed',
    });
    setTimeout(() => void hostdClient.close(), 30);
    await closed;
  });

  it('tells garbage from an answer', async () => {
    const { path } = await serve(async (connection) => {
      const body = await connection.read();
      if (body !== null && !Buffer.from(body).includes('Hello'))
        await connection.write(Buffer.from('"Nope"'));
    });
    await expect(client(path).request({ type: 'Ping' })).rejects.toMatchObject({
      code: 'protocol_mismatch',
      reason: 'hostd.bad_answer',
    });
  });

  it('throws an Error with a code in place of a Welcome: that is version 2 refusing', async () => {
    const { path } = await serve(async (connection) => {
      await connection.read();
      await sendFrame(connection, {
        type: 'Error',
        message: 'uid 1000 may not',
        code: 'permission_denied',
        reason: 'peer.denied',
      });
    });
    await expect(client(path).request({ type: 'Ping' })).rejects.toMatchObject({ code: 'permission_denied' });
  });

  it.each([
    ['a version that was not offered', '{"Welcome":{"version":3,"server":"x","features":[]}}'],
    ['an answer to nothing', '{"id":1,"response":"Pong"}'],
    ['no frame of the contract', '[]'],
  ])('refuses a greeting of %s', async (_name, greeting) => {
    const { path } = await serve(async (connection) => {
      await connection.read();
      await connection.write(Buffer.from(greeting));
    });
    await expect(client(path).request({ type: 'Ping' })).rejects.toMatchObject({
      reason: 'hostd.bad_answer',
    });
  });

  it('gives up a hostd that never greets', async () => {
    const { path } = await serve(async (connection) => {
      await connection.read();
      await new Promise<void>((resolve) => connection.signal.addEventListener('abort', () => resolve()));
    });
    await expect(client(path, { connectTimeoutMs: 100 }).request({ type: 'Ping' })).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'hostd.unreachable',
    });
  });
});
