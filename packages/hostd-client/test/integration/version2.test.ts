import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FrameConnection } from '@mvm/framing';
import { CodedError, type V2Response } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { afterTest, client, sendFrame, serve, version2 } from './support/servers.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-00000001' };
const emptyList: V2Response = { type: 'Instances', instances: [], next_cursor: null };

/** A promise that the test settles. */
function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: ((value: T) => void) | undefined;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open: (value) => open?.(value) };
}

describe('a hostd client and a version 2 hostd', () => {
  it('connects with the first request, and only then', async () => {
    let connections = 0;
    const hostd = version2(() => ({ type: 'Pong' }));
    const { path } = await serve((connection) => {
      connections += 1;
      return hostd(connection);
    });
    const hostdClient = client(path);
    expect([hostdClient.version(), hostdClient.server, connections]).toEqual([null, null, 0]);
    const pongs = await Promise.all(Array.from({ length: 20 }, () => hostdClient.request({ type: 'Ping' })));
    expect(pongs).toEqual(Array(20).fill({ type: 'Pong' }));
    expect([hostdClient.version(), connections]).toEqual([2, 1]);
    expect(hostdClient.server).toEqual({ name: 'test-hostd/1', features: ['logs'] });
  });

  it('gives each request its own answer, whatever their order', async () => {
    const held: (() => void)[] = [];
    const { path } = await serve(
      version2(async (request) => {
        await new Promise<void>((resolve) => {
          held.push(resolve);
          if (held.length === 30) for (const release of held.reverse()) release();
        });
        if (request.type !== 'ListInstances') return { type: 'Pong' };
        return { ...emptyList, next_cursor: request.cursor ?? null };
      }),
    );
    const hostdClient = client(path);
    const lists = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        hostdClient.request({ type: 'ListInstances', cursor: `page ${index}` }),
      ),
    );
    expect(lists.map((list) => list.next_cursor)).toEqual(lists.map((_, index) => `page ${index}`));
  });

  it('keeps to its in-flight cap, queues the rest in order, and refuses more', async () => {
    const seen: number[] = [];
    let inFlight = 0;
    let most = 0;
    const { path } = await serve(
      version2(async (_request, id) => {
        seen.push(id);
        inFlight += 1;
        most = Math.max(most, inFlight);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inFlight -= 1;
        return { type: 'Pong' };
      }),
    );
    const hostdClient = client(path, { maxInFlight: 3, maxQueued: 10 });
    await hostdClient.request({ type: 'Ping' });
    const results = await Promise.allSettled(
      Array.from({ length: 15 }, () => hostdClient.request({ type: 'Ping' })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(13);
    expect(results[14]).toMatchObject({
      reason: { code: 'resource_exhausted', reason: 'hostd.too_many_requests' },
    });
    expect(most).toBe(3);
    expect(seen).toEqual(Array.from({ length: 14 }, (_, index) => index + 1));
  });

  it('throws an Error response with everything that hostd said', async () => {
    const { path } = await serve(
      version2(() => {
        throw new CodedError({
          code: 'failed_precondition',
          reason: 'instance.invalid_transition',
          message: 'cannot stop: created',
          hint: 'start it first',
          details: { from: 'created' },
        });
      }),
    );
    const hostdClient = client(path);
    const error = await hostdClient
      .request({ type: 'StopInstance', ...address })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CodedError);
    expect(error).toMatchObject({
      code: 'failed_precondition',
      reason: 'instance.invalid_transition',
      retry: 'after-change',
      message: 'cannot stop: created',
      hint: 'start it first',
      details: { from: 'created' },
    });
    await expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      code: 'failed_precondition',
    });
  });

  it('gives up a request at its time or by its signal, and goes on with others', async () => {
    const { path } = await serve(
      version2((request) => (request.type === 'Ping' ? { type: 'Pong' } : new Promise<V2Response>(() => {}))),
    );
    const hostdClient = client(path);
    await expect(hostdClient.request({ type: 'HostInfo' }, { timeoutMs: 80 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'hostd.timeout',
      details: { request: 'HostInfo', timeout_ms: 80 },
    });
    const controller = new AbortController();
    const canceled = expect(
      hostdClient.request({ type: 'HostInfo' }, { signal: controller.signal }),
    ).rejects.toMatchObject({ code: 'canceled', reason: 'hostd.canceled' });
    setTimeout(() => controller.abort(), 20);
    await canceled;
    await expect(
      hostdClient.request({ type: 'Ping' }, { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({
      reason: 'hostd.canceled',
    });
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('takes an answer that comes after its request was given up', async () => {
    const late = gate<V2Response>();
    const { path } = await serve(
      version2((request) => (request.type === 'Ping' ? { type: 'Pong' } : late.promise)),
    );
    const hostdClient = client(path);
    await expect(hostdClient.request({ type: 'HostInfo' }, { timeoutMs: 30 })).rejects.toMatchObject({
      reason: 'hostd.timeout',
    });
    late.open(emptyList);
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('makes a new connection when every request of the old one hangs', async () => {
    let connections = 0;
    const hostd = version2(() => (connections === 1 ? new Promise<V2Response>(() => {}) : { type: 'Pong' }));
    const { path } = await serve((connection) => {
      connections += 1;
      return hostd(connection);
    });
    const hostdClient = client(path, { maxInFlight: 2 });
    const hung = [1, 2].map(() => hostdClient.request({ type: 'Ping' }, { timeoutMs: 50 }));
    for (const request of hung) await expect(request).rejects.toMatchObject({ reason: 'hostd.timeout' });
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    expect(connections).toBe(2);
  });

  it('rejects what is under way when it is closed, and everything after', async () => {
    const reached = gate();
    const { path } = await serve(
      version2(() => {
        reached.open();
        return new Promise<V2Response>(() => {});
      }),
    );
    const hostdClient = client(path);
    const request = expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      code: 'canceled',
      reason: 'hostd.client_closed',
    });
    await reached.promise;
    await hostdClient.close();
    await request;
    await expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      reason: 'hostd.client_closed',
    });
  });

  it('closes an idle connection, and makes another when it is needed', async () => {
    const ends: Promise<void>[] = [];
    const hostd = version2(() => ({ type: 'Pong' }));
    const { path } = await serve((connection) => {
      const end = hostd(connection);
      ends.push(end);
      return end;
    });
    const hostdClient = client(path, { idleTimeoutMs: 50 });
    await hostdClient.request({ type: 'Ping' });
    await ends[0];
    expect(hostdClient.server).toBeNull();
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    expect(ends).toHaveLength(2);
  });

  it.each<[string, (connection: FrameConnection, id: number) => Promise<void>]>([
    [
      'an id that does not wait',
      (connection, id) => sendFrame(connection, { type: 'response', id: id + 7, response: { type: 'Pong' } }),
    ],
    ['a frame that is no JSON', (connection) => connection.write(Buffer.from('{"id":'))],
    [
      'an answer of an unknown type',
      (connection, id) => connection.write(Buffer.from(`{"id":${id},"response":"Nope"}`)),
    ],
    [
      'the answer to another request',
      (connection, id) => sendFrame(connection, { type: 'response', id, response: { type: 'Ok' } }),
    ],
    [
      'a second Welcome',
      (connection) => sendFrame(connection, { type: 'Welcome', version: 2, server: 'x', features: [] }),
    ],
    [
      'no frame at all',
      async (connection) => {
        connection.socket.write('HTTP/1.1 200 OK\r\n\r\n');
      },
    ],
  ])('rejects a request that gets %s, and recovers', async (_name, misbehave) => {
    let turn = 0;
    const { path } = await serve(
      version2(async (_request, id, connection) => {
        turn += 1;
        if (turn > 1) return { type: 'Pong' };
        await misbehave(connection, id);
        return new Promise<V2Response>(() => {});
      }),
    );
    const hostdClient = client(path);
    await expect(hostdClient.request({ type: 'Ping' })).rejects.toMatchObject({
      code: 'protocol_mismatch',
      reason: 'hostd.bad_answer',
    });
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('ignores events, and throws an Error without an id as the reason of the end', async () => {
    const { path } = await serve(
      version2(async (request, _id, connection) => {
        await sendFrame(connection, { type: 'event', event: { kind: 'news' } });
        if (request.type === 'Ping') return { type: 'Pong' };
        await sendFrame(connection, {
          type: 'Error',
          message: 'going down',
          code: 'unavailable',
          reason: 'hostd.stopping',
        });
        connection.end();
        return { type: 'Pong' };
      }),
    );
    const hostdClient = client(path);
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    await expect(hostdClient.request({ type: 'HostInfo' })).rejects.toMatchObject({
      reason: 'hostd.stopping',
    });
  });

  it('refuses a request that is too large or cannot be encoded, and goes on', async () => {
    const { path } = await serve(version2(() => ({ type: 'Pong' })));
    const hostdClient = client(path);
    await expect(
      hostdClient.request({ type: 'RemoveTenant', tenant_id: 'x'.repeat(1_048_576) }),
    ).rejects.toMatchObject({ code: 'invalid_argument', reason: 'protocol.message_too_large' });
    await expect(hostdClient.request({ type: 'RemoveTenant', tenant_id: '\ud800' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    expect(await hostdClient.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  });

  it('lets a process end although its connection is open', async () => {
    const { path, server } = await serve(version2(() => ({ type: 'Pong' })));
    const index = new URL('../../dist/index.js', import.meta.url).href;
    const script = `
      const { createHostdClient } = await import(${JSON.stringify(index)});
      const client = createHostdClient({ socketPath: ${JSON.stringify(path)}, clientName: 'test' });
      const { type } = await client.request({ type: 'Ping' });
      process.stdout.write(type);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    afterTest(async () => child.kill('SIGKILL'));
    const [output] = (await once(child.stdout, 'data')) as [Buffer];
    expect(output.toString()).toBe('Pong');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    await expect.poll(() => server.connections).toBe(0);
  });
});
