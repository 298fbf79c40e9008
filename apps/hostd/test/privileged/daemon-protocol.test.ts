import { connect } from 'node:net';
import { connectFrames, type FrameConnection } from '@mvm/framing';
import { type ClientFrame, clientFrameCodec, type ServerFrame, serverFrameCodec } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';

let host: Host;

beforeAll(async () => {
  host = await createHost();
  const connections = ['--max-connections-per-user', '3000'];
  await host.start({ args: ['--max-in-flight', '4', '--frame-timeout-ms', '700', ...connections] });
});
afterAll(() => host.dispose());

const text = (body: string): Uint8Array => new TextEncoder().encode(body);

async function open(): Promise<{
  connection: FrameConnection;
  send(frame: ClientFrame): Promise<void>;
  receive(): Promise<ServerFrame | null>;
}> {
  const connection = await connectFrames({ path: host.socketPath });
  return {
    connection,
    send: (frame) => connection.write(clientFrameCodec.encode(frame)),
    receive: async () => {
      const body = await connection.read();
      return body === null ? null : serverFrameCodec.decode(body);
    },
  };
}

async function hello(): ReturnType<typeof open> {
  const session = await open();
  await session.send({ type: 'Hello', versions: [2], client: 'test' });
  expect(await session.receive()).toMatchObject({ type: 'Welcome', version: 2 });
  return session;
}

/** Everything that the server sends until it closes, for raw bytes. */
function raw(bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect(host.socketPath, () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => socket.end());
    socket.on('close', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
  });
}

const header = (length: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
};

test('a version 1 client that shuts down its write half gets its answer', async () => {
  expect(await host.v1('"Ping"')).toBe('Pong');
});

test.each([
  ['garbage', 'not json'],
  ['an unknown request', '{"Reboot":{}}'],
  ['an empty body', ''],
  [
    'a duplicate field',
    '{"StartInstance":{"tenant_id":"a","tenant_id":"b","pool_id":"p","instance_id":"i"}}',
  ],
  ['a version 2 request without Hello', '{"ListInstances":{}}'],
])('%s is answered with an Error', async (_what, body) => {
  expect(await host.v1(body)).toMatchObject({
    Error: { message: expect.any(String), code: 'invalid_argument' },
  });
});

test('a frame of 1 MiB + 1 is refused by its length alone', async () => {
  const answer = await raw(header(1_048_577));
  expect(JSON.parse(answer.subarray(4).toString())).toMatchObject({ Error: { reason: 'frame.too_large' } });
});

test('a length without a body is dropped in time, while others are served', async () => {
  const slow = raw(header(100));
  expect(await host.v1('"Ping"')).toBe('Pong');
  const answer = await slow;
  expect(JSON.parse(answer.subarray(4).toString())).toMatchObject({ Error: { reason: 'frame.timeout' } });
});

test('garbage after a valid frame does not change its answer', async () => {
  const answer = await raw(Buffer.concat([header(6), Buffer.from('"Ping"'), header(3), Buffer.from('}}}')]));
  expect(answer.subarray(4, 10).toString()).toBe('"Pong"');
});

test('version 2 is negotiated, and many requests use one connection', async () => {
  const { connection, send, receive } = await hello();
  await send({ type: 'request', id: 7, request: { type: 'Ping' } });
  expect(await receive()).toEqual({ type: 'response', id: 7, response: { type: 'Pong' } });
  await send({ type: 'request', id: 8, request: { type: 'HostInfo' } });
  expect(await receive()).toMatchObject({ type: 'response', id: 8, response: { type: 'Host', tenants: 0 } });
  connection.destroy();
});

test('without a common version the answer is an Error that says so', async () => {
  const { send, receive } = await open();
  await send({ type: 'Hello', versions: [99], client: 'test' });
  expect(await receive()).toMatchObject({ type: 'Error', code: 'protocol_mismatch' });
  expect(await receive()).toBeNull();
});

test('a request that cannot be decoded fails alone, under its id', async () => {
  const { connection, send, receive } = await hello();
  await connection.write(text('{"id":3,"request":{"Reboot":{}}}'));
  expect(await receive()).toMatchObject({ id: 3, response: { type: 'Error', code: 'invalid_argument' } });
  await send({ type: 'request', id: 4, request: { type: 'Ping' } });
  expect(await receive()).toMatchObject({ id: 4, response: { type: 'Pong' } });
  connection.destroy();
});

test('a frame that is no envelope ends the connection, after an Error', async () => {
  const { connection, receive } = await hello();
  await connection.write(text('[]'));
  expect(await receive()).toMatchObject({ type: 'Error', code: 'invalid_argument' });
  expect(await receive()).toBeNull();
});

test('an id that is still in use is refused, and what was asked for is answered before', async () => {
  const { connection, receive } = await hello();
  const twice = '{"id":1,"request":"HostInfo"}';
  await Promise.all([connection.write(text(twice)), connection.write(text(twice))]);
  expect(await receive()).toMatchObject({ id: 1, response: { type: 'Host' } });
  expect(await receive()).toMatchObject({ type: 'Error', reason: 'protocol.duplicate_id' });
});

test('requests over the in-flight cap wait, and are all answered', async () => {
  const { connection, send, receive } = await hello();
  const ids = Array.from({ length: 20 }, (_, index) => index);
  await Promise.all(ids.map((id) => send({ type: 'request', id, request: { type: 'HostInfo' } })));
  const answered: number[] = [];
  for (const _ of ids) {
    const frame = await receive();
    if (frame?.type === 'response') answered.push(frame.id);
  }
  expect(answered.sort((a, b) => a - b)).toEqual(ids);
  connection.destroy();
});

test('a client that half-closes still gets every answer', async () => {
  const { connection, send, receive } = await hello();
  await send({ type: 'request', id: 1, request: { type: 'HostInfo' } });
  await send({ type: 'request', id: 2, request: { type: 'Ping' } });
  connection.end();
  const ids = [await receive(), await receive()].map((frame) =>
    frame?.type === 'response' ? frame.id : null,
  );
  expect(ids.sort()).toEqual([1, 2]);
  expect(await receive()).toBeNull();
});

test.each([
  ['StartInstance', 'start failed: '],
  ['StopInstance', 'stop failed: '],
  ['WakeInstance', 'wake failed: '],
])(
  '%s of an unknown instance fails with its prefix, and an invalid id names its kind',
  async (request, prefix) => {
    const ids = { tenant_id: 'acme', pool_id: 'p', instance_id: 'i' };
    expect(await host.v1({ [request]: ids })).toEqual({
      Error: { message: expect.stringMatching(`^${prefix}`) },
    });
    for (const [field, kind] of [
      ['tenant_id', 'Tenant'],
      ['pool_id', 'Pool'],
      ['instance_id', 'Instance'],
    ] as const) {
      for (const id of ['../x', 'a;rm', 'a'.repeat(64), '']) {
        expect(await host.v1({ [request]: { ...ids, [field]: id } })).toEqual({
          Error: { message: expect.stringContaining(kind) },
        });
      }
    }
  },
);

test('2000 idle connections do not keep anybody from being served', async () => {
  const idle = await Promise.all(
    Array.from(
      { length: 2000 },
      () =>
        new Promise<ReturnType<typeof connect>>((resolve, reject) => {
          const socket = connect(host.socketPath, () => resolve(socket));
          socket.on('error', reject);
        }),
    ),
  );
  expect(await host.v1('"Ping"')).toBe('Pong');
  for (const socket of idle) socket.destroy();
});
