import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AgentLine, connectGuest } from './vsock.js';

let dir: string;
let server: Server;
let accepted: Socket[];
let line: AgentLine;

/** A Firecracker's vsock whose guest has one agent, which drops its connection for the next. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-vsock-'));
  accepted = [];
  server = createServer((socket) => {
    for (const earlier of accepted) earlier.destroy();
    accepted.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.write('OK 1073741824\n'));
  });
  const path = join(dir, 'v.sock');
  await new Promise<void>((done) => server.listen(path, done));
  line = new AgentLine((signal) => connectGuest(path, 1024, signal));
});
afterEach(async () => {
  for (const socket of accepted) socket.destroy();
  server.close();
  await rm(dir, { recursive: true });
});

const soon = () => AbortSignal.timeout(10_000);

it('asks for the agent by a connection, and ends that', async () => {
  expect(await line.answers(soon())).toBe(true);
  expect(accepted).toHaveLength(1);
});

it('makes no connection to ask while one is in use, so that it is not dropped', async () => {
  const connecting = line.connect(soon());
  expect(await line.answers(soon())).toBe(true);
  const stream = await connecting;
  expect(await line.answers(soon())).toBe(true);
  expect(accepted).toHaveLength(1);
  expect(stream?.destroyed).toBe(false);
  stream?.destroy();
  expect(await line.answers(soon())).toBe(true);
  expect(accepted).toHaveLength(2);
});
