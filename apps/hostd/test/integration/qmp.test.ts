import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectQmp, MAX_QMP_LINE_BYTES, type QmpEvent } from '../../src/vmm/qemu/qmp.js';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}}\r\n';
let directory: string;
let path: string;
let server: Server;
let peers: Socket[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-qmp-'));
  path = join(directory, 'qmp.sock');
  peers = [];
});
afterEach(async () => {
  for (const peer of peers) peer.destroy();
  server?.close();
  await rm(directory, { recursive: true });
});

type Reply = (command: { execute: string; id: number; arguments?: unknown }, peer: Socket) => void;

/** A peer that greets and answers as `reply` has it; capabilities are negotiated by itself. */
async function serve(reply: Reply, greeting = GREETING): Promise<void> {
  server = createServer((peer) => {
    peers.push(peer);
    peer.on('error', () => {});
    peer.write(greeting);
    let text = '';
    peer.on('data', (chunk) => {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const command = JSON.parse(line);
        if (command.execute === 'qmp_capabilities') peer.write(`{"return": {}, "id": ${command.id}}\n`);
        else reply(command, peer);
      }
    });
  }).listen(path);
  await once(server, 'listening');
}

describe('the QMP client', () => {
  it('negotiates, matches answers to commands by id, and hands on events', async () => {
    const held: { id: number; peer: Socket }[] = [];
    await serve((command, peer) => {
      held.push({ id: command.id, peer });
      if (held.length < 2) return;
      peer.write('{"event": "STOP", "timestamp": {}}\n');
      // In the other order, and in pieces.
      for (const { id } of held.toReversed()) {
        const text = `{"id": ${id}, "return": {"n": ${id}}}\n`;
        peer.write(text.slice(0, 7));
        peer.write(text.slice(7));
      }
    });
    const events: QmpEvent[] = [];
    const qmp = await connectQmp({ path, timeoutMs: 2_000, onEvent: (event) => events.push(event) });
    expect(qmp.version).toBe('7.2.22');
    const [first, second] = (await Promise.all([qmp.execute('a'), qmp.execute('b', { x: 1 })])) as {
      n: number;
    }[];
    expect(second?.n).toBe((first?.n ?? 0) + 1);
    expect(events.map(({ event }) => event)).toEqual(['STOP']);
    qmp.close();
    await qmp.closed;
    await expect(qmp.execute('c')).rejects.toMatchObject({ reason: 'vmm.connection_lost' });
  });

  it('reports a refusal in the peer’s words', async () => {
    await serve(({ id }, peer) =>
      peer.write(`{"id": ${id}, "error": {"class": "GenericError", "desc": "no such"}}\n`),
    );
    const qmp = await connectQmp({ path, timeoutMs: 2_000 });
    await expect(qmp.execute('x')).rejects.toMatchObject({
      reason: 'vmm.command_failed',
      message: expect.stringContaining('no such'),
    });
    qmp.close();
  });

  it('bounds every wait, and is usable after one that ran out', async () => {
    const late: { id: number; peer: Socket }[] = [];
    await serve(({ execute, id }, peer) => {
      if (execute === 'slow') late.push({ id, peer });
      else
        for (const one of [...late, { id, peer }])
          one.peer.write(`{"id": ${one.id}, "return": "${one.id}"}\n`);
    });
    const qmp = await connectQmp({ path, timeoutMs: 2_000 });
    await expect(qmp.execute('slow', undefined, { timeoutMs: 20 })).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'vmm.command_timeout',
    });
    await expect(qmp.execute('quick')).resolves.toBe('3');
    qmp.close();
  });

  it('fails pending commands when the peer goes away', async () => {
    await serve((_, peer) => peer.destroy());
    const qmp = await connectQmp({ path, timeoutMs: 2_000 });
    await expect(qmp.execute('x')).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'vmm.connection_lost',
    });
    await qmp.closed;
  });

  it.each([
    ['no JSON', 'hello\n', 'vmm.bad_answer'],
    ['another greeting', '{"QMP": {"version": "7"}}\n', 'vmm.bad_answer'],
    ['no greeting', '{"event": "STOP"}\n', 'vmm.command_timeout'],
    ['an answer without its command', '{"return": {}}\n', 'vmm.bad_answer'],
    ['an endless line', 'x'.repeat(MAX_QMP_LINE_BYTES + 1), 'vmm.connection_lost'],
  ])('gives up on a peer that sends %s', async (_, greeting, reason) => {
    await serve(() => {}, greeting);
    await expect(connectQmp({ path, timeoutMs: 500 })).rejects.toMatchObject({ reason });
  });

  it('gives up on a line of countless small pieces before they take much memory', async () => {
    await serve(() => {});
    const qmp = await connectQmp({ path, timeoutMs: 2_000 });
    for (let count = 0; count < 20_000 && !qmp.isClosed(); count += 1) {
      peers[0]?.write('x');
      await setImmediate();
    }
    expect(qmp.isClosed()).toBe(true);
    await expect(qmp.execute('a')).rejects.toMatchObject({ reason: 'vmm.connection_lost' });
  });

  it('reports that no process listens', async () => {
    await expect(connectQmp({ path, timeoutMs: 500 })).rejects.toMatchObject({
      reason: 'vmm.connection_lost',
    });
    server = createServer();
  });

  it.each([
    ['words that are no text', '"error": {"desc": {"toString": 0, "valueOf": 0}}', 'vmm.command_failed'],
    ['no words', '"error": {}', 'vmm.command_failed'],
    ['an error that is none', '"error": 7, "x": {}', 'vmm.bad_answer'],
    ['nothing', '"x": null', 'vmm.bad_answer'],
  ])('finding 2: a refusal with %s fails the command, and not hostd', async (_, fields, reason) => {
    await serve(({ id }, peer) => peer.write(`{"id": ${id}, ${fields}}\n`));
    const qmp = await connectQmp({ path, timeoutMs: 2_000 });
    await expect(qmp.execute('x')).rejects.toMatchObject({ reason });
    qmp.close();
  });

  it('finding 2: neither does a peer that answers its negotiation so', async () => {
    server = createServer((peer) => {
      peers.push(peer);
      peer.on('error', () => {});
      peer.write(GREETING);
      peer.once('data', () => peer.write('{"id": 1, "error": {"desc": {"toString": 0, "valueOf": 0}}}\n'));
    }).listen(path);
    await once(server, 'listening');
    await expect(connectQmp({ path, timeoutMs: 2_000 })).rejects.toMatchObject({
      reason: 'vmm.command_failed',
    });
  });

  it('finding 10: loses the connection to a peer that floods it with events, and nothing else', async () => {
    await serve(({ id }, peer) => {
      peer.write(`{"id": ${id}, "return": {}}\n`);
      peer.write('{"event": "STOP"}\n'.repeat(100_000));
    });
    let events = 0;
    const qmp = await connectQmp({
      path,
      timeoutMs: 2_000,
      onEvent: () => {
        events += 1;
      },
    });
    await qmp.execute('x');
    await qmp.closed;
    expect(qmp.isClosed()).toBe(true);
    expect(events).toBeLessThan(5_000);
    await expect(qmp.execute('y')).rejects.toMatchObject({
      reason: 'vmm.connection_lost',
      message: expect.stringContaining('more than it was asked for'),
    });
  });
});
