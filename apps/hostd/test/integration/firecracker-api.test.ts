import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApi, faultOf } from '../../src/vmm/firecracker/api.js';
import { connectGuest } from '../../src/vmm/firecracker/vsock.js';

// The answers are those that Firecracker 1.12.1 and 1.16.1 were seen to give, byte for byte.

let directory: string;
let path: string;
let server: Server;
let heard: string[];
let connections: number;
const sockets = new Set<Socket>();
let answer: (request: string, socket: Socket) => void;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-fc-'));
  path = join(directory, 'api.sock');
  heard = [];
  connections = 0;
  server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      heard.push(piece.toString());
      answer(piece.toString(), socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true });
});

const replyWith = (text: string) => (_request: string, socket: Socket) => void socket.end(text);

describe('the client of Firecracker’s API', () => {
  it('has a connection for each request, and says how long a body is', async () => {
    answer = replyWith('HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n');
    const api = createApi(path);
    expect(await api.call({ method: 'PUT', path: '/entropy', body: {} })).toBeNull();
    expect(await api.call({ method: 'PATCH', path: '/vm', body: { state: 'Paused' } })).toBeNull();
    expect(connections).toBe(2);
    expect(heard[0]).toMatch(
      /^PUT \/entropy HTTP\/1\.1\r\n[\s\S]*content-length: 2\r\n[\s\S]*\r\n\r\n\{\}$/i,
    );
    expect(heard.join('')).not.toMatch(/transfer-encoding/i);
  });

  it('asks without a body, which Firecracker refuses in a GET', async () => {
    const body = '{"firecracker_version":"1.12.1"}';
    answer = replyWith(
      `HTTP/1.1 200 \r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(await createApi(path).call({ method: 'GET', path: '/version' })).toEqual({
      firecracker_version: '1.12.1',
    });
    expect(heard.join('')).not.toMatch(/content-length/i);
  });

  it('tells what it was refused for, by the status alone', async () => {
    const body = '{"fault_message":"The requested operation is not supported after starting the microVM."}';
    answer = replyWith(`HTTP/1.1 400 \r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await expect(createApi(path).call({ method: 'PUT', path: '/vsock', body: {} })).rejects.toMatchObject({
      code: 'internal',
      reason: 'vmm.command_failed',
      message: expect.stringContaining('(400): The requested operation is not supported after starting'),
    });
  });

  it('reads a refusal that is no JSON, and one without a reason phrase', async () => {
    const body = '{ "error": "Invalid request.\nInvalid header.\r\n" }';
    answer = replyWith(`HTTP/1.1 400 \r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await expect(createApi(path).call({ method: 'GET', path: '/' })).rejects.toMatchObject({
      reason: 'vmm.command_failed',
      message: expect.stringMatching(/\(400\): Invalid request\. Invalid header\.$/),
    });
    answer = replyWith('HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n');
    await expect(createApi(path).call({ method: 'GET', path: '/' })).rejects.toMatchObject({
      message: expect.stringContaining('(503): without a reason'),
    });
  });

  it('does not take nonsense for an answer', async () => {
    answer = replyWith('HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n{"a":');
    await expect(createApi(path).call({ method: 'GET', path: '/' })).rejects.toMatchObject({
      reason: 'vmm.bad_answer',
    });
    answer = replyWith('SSH-2.0-OpenSSH\r\n');
    await expect(createApi(path).call({ method: 'GET', path: '/' })).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'vmm.connection_lost',
    });
  });

  it('waits for as long as it is told, and no longer', async () => {
    answer = () => {};
    await expect(createApi(path).call({ method: 'GET', path: '/', timeoutMs: 20 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'vmm.command_timeout',
    });
  });

  it('notices an end in the midst of an answer, and a socket without a listener', async () => {
    answer = replyWith('HTTP/1.1 200 \r\nContent-Length: 500\r\n\r\n{');
    await expect(createApi(path).call({ method: 'GET', path: '/' })).rejects.toMatchObject({
      reason: 'vmm.connection_lost',
    });
    await expect(
      createApi(join(directory, 'none.sock')).call({ method: 'GET', path: '/' }),
    ).rejects.toMatchObject({ reason: 'vmm.connection_lost', message: expect.stringContaining('ENOENT') });
    expect(() => createApi(join(directory, 'x'.repeat(100)))).toThrow(
      expect.objectContaining({ reason: 'vmm.socket_path_too_long' }),
    );
  });

  it.each([
    ['', 'without a reason'],
    ['{"fault_message":""}', 'without a reason'],
    ['{"fault_message":"a\\nb"}', 'a b'],
    ['\x1b[31mred', '[31mred'],
    ['x'.repeat(5000), 'x'.repeat(600)],
  ])('makes one line of %j', (text, line) => expect(faultOf(text)).toBe(line));
});

describe('a connection to a guest over vsock', () => {
  const signal = (): AbortSignal => AbortSignal.timeout(5000);

  it('asks for the port in one write, and loses nothing that the guest says at once', async () => {
    answer = (request, socket) => {
      if (request.startsWith('CONNECT')) socket.write('OK 1073741824\nhello');
      else socket.write(request);
    };
    const stream = await connectGuest(path, 1024, signal());
    if (stream === null) throw new Error('not connected');
    stream.write(' there');
    let said = '';
    for await (const piece of stream) {
      said += String(piece);
      if (said.length >= 11) break;
    }
    expect(heard[0]).toBe('CONNECT 1024\n');
    expect(said).toBe('hello there');
  });

  it.each([
    ['at once', 'OK 1073741824\nhello'],
    ['later', 'OK 1073741824\n'],
  ])('flows to whoever listens for its data, what comes %s', async (_when, greeting) => {
    answer = (request, socket) => {
      if (request.startsWith('CONNECT')) socket.write(greeting);
      else socket.write('hello');
    };
    const stream = await connectGuest(path, 1024, signal());
    if (stream === null) throw new Error('not connected');
    const said = new Promise<string>((resolve) => stream.once('data', (piece) => resolve(String(piece))));
    if (!greeting.endsWith('hello')) stream.write('?');
    expect(await said).toBe('hello');
    stream.destroy();
  });

  it.each([
    ['closes', (_: string, socket: Socket) => void socket.end()],
    ['answers something else', replyWith('NO\n')],
    ['does not end its answer', replyWith('O'.repeat(100))],
  ])('is null when Firecracker %s', async (_what, does) => {
    answer = does;
    expect(await connectGuest(path, 1024, signal())).toBeNull();
  });

  it('is given up when the guest is silent', async () => {
    answer = () => {};
    await expect(connectGuest(path, 1024, AbortSignal.timeout(20))).rejects.toThrow('does not answer');
  });
});
