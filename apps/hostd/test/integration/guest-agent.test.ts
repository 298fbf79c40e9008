import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeFrame, FrameDecoder } from '@mvm/framing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentChannel, createAgentChannel } from '../../src/guest-agent/agent-channel.js';
import { connectSocket } from '../../src/vmm/process/connect-socket.js';

let directory: string;
let path: string;
let server: Server;
let sockets: Socket[];
let channel: AgentChannel;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-agent-'));
  path = join(directory, 'agent.sock');
  sockets = [];
  channel = createAgentChannel((signal) => connectSocket(path, signal));
});
afterEach(async () => {
  channel.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

/** What a guest sends back: frames by their text, bytes as they stand. */
type Sent = readonly (string | Uint8Array)[];
const ACK = '{"SleepPrepAck":{"success":true,"detail":null}}';
const LATE = '{"SleepPrepAck":{"success":false,"detail":"late"}}';
const ERROR = '{"Error":{"message":"unknown request"}}';

/** An agent that knows Sync and answers any other request by `answers`. */
const agent =
  (...answers: Sent) =>
  (request: string): Sent =>
    request.startsWith('{"Sync"') ? [request.replace('"Sync"', '"SyncAck"')] : answers;

/** A guest that answers each request by `answer`, and has `waiting` in its channel when a host connects first. */
async function guest(answer: (request: string) => Sent, waiting: Sent = []): Promise<string[]> {
  const received: string[] = [];
  server = createServer((socket) => {
    const send = (sent: Sent): void => {
      for (const one of sent) socket.write(typeof one === 'string' ? encodeFrame(Buffer.from(one)) : one);
    };
    const decoder = new FrameDecoder();
    if (sockets.length === 0) send(waiting);
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      for (const frame of decoder.push(chunk)) {
        const request = Buffer.from(frame).toString();
        received.push(request);
        send(answer(request));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return received;
}

const ask = (timeoutMs = 5000): Promise<unknown> =>
  channel.ask({ type: 'SleepPrep', drain_timeout_secs: 3 }, { timeoutMs });

describe('the channel to a guest', () => {
  it('reads a stream that is handed over paused', async () => {
    channel = createAgentChannel(async (signal) => (await connectSocket(path, signal)).pause());
    await guest(agent(ACK));
    expect(await ask()).toEqual({ type: 'SleepPrepAck', success: true, detail: null });
  });

  it('begins with a token, then asks', async () => {
    const received = await guest(agent(ACK));
    expect(await ask()).toEqual({ type: 'SleepPrepAck', success: true, detail: null });
    expect(await ask()).toMatchObject({ success: true });
    expect(received[0]).toMatch(/^\{"Sync":\{"token":"[0-9a-f]{24}"\}\}$/);
    expect(received.slice(1)).toEqual(Array(2).fill('{"SleepPrep":{"drain_timeout_secs":3}}'));
  });

  it.each([
    ['of other kinds', ['"Pong"', '{"WakeAck":{"success":true}}']],
    ['of the kind that is asked for', [LATE]],
    ['that are errors, and of the kind', [ERROR, '{"SyncAck":{"token":"0"}}', '"Pong"']],
    ['as many as may be', Array.from({ length: 15 }, () => LATE)],
  ])('passes over late answers %s', async (_, waiting) => {
    await guest(agent(ACK), waiting);
    expect(await ask()).toMatchObject({ success: true });
  });

  it('does not take the late answer to a request that was given up for the next one’s', async () => {
    let asked = 0;
    await guest((request) => {
      if (request.startsWith('{"Sync"')) return agent()(request);
      asked += 1;
      return asked === 1 ? [] : [ACK];
    });
    await expect(ask(200)).rejects.toMatchObject({ reason: 'guest_agent.no_answer' });
    const [first] = sockets;
    // The guest's channel outlives the connection: what it says now waits for the next one.
    first?.destroy();
    server.on('connection', (socket) => socket.write(encodeFrame(Buffer.from(LATE))));
    expect(await ask()).toMatchObject({ success: true });
    expect(sockets).toHaveLength(2);
  });

  it('takes the first answer of the kind from an agent that does not know the token', async () => {
    await guest((request) => (request.startsWith('{"SleepPrep"') ? [ACK] : [ERROR]), ['"Pong"']);
    expect(await ask()).toMatchObject({ success: true });
    await expect(channel.ask({ type: 'Ping' }, { timeoutMs: 5000 })).rejects.toMatchObject({
      reason: 'guest_agent.refused',
    });
  });

  it('does not wait for ever', async () => {
    await guest(agent());
    await expect(ask(100)).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'guest_agent.no_answer',
    });
  });

  it('can be given up', async () => {
    await guest(agent());
    const controller = new AbortController();
    const asked = channel.ask({ type: 'Ping' }, { timeoutMs: 5000, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(asked).rejects.toMatchObject({ code: 'canceled' });
  });

  it.each<[string, Sent, string]>([
    ['an Error', ['{"Error":{"message":"no\\u001b[2J"}}'], 'guest_agent.refused'],
    ['only other answers', Array.from({ length: 17 }, () => '"Pong"'), 'guest_agent.nonsense'],
    ['no JSON', ['}{'], 'protocol.'],
    ['an endless frame', [Buffer.from([0, 4, 0, 1])], 'frame.too_large'],
    ['half a frame and silence', [Buffer.from([0, 0, 0, 9, 34])], 'guest_agent.no_answer'],
  ])('takes %s for what it is', async (_, answers, reason) => {
    await guest(agent(...answers));
    await expect(ask(1000)).rejects.toMatchObject({ reason: expect.stringContaining(reason) });
  });

  it('holds no more than a frame of a guest that never ends, and is done with it', async () => {
    const flood = encodeFrame(Buffer.from(`"${'x'.repeat(262_000)}"`));
    await guest(agent(...Array.from({ length: 200 }, () => flood)));
    const before = process.memoryUsage().arrayBuffers;
    await expect(ask()).rejects.toMatchObject({ code: 'invalid_argument' });
    // The guest's side of this test holds the flood; the channel's is one frame, and what the socket had read ahead.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1_048_576);
    expect(sockets).toHaveLength(1);
  });

  it('reports that there is no agent', async () => {
    await guest(agent());
    await expect(
      createAgentChannel((signal) => connectSocket(join(directory, 'none.sock'), signal)).ask(
        { type: 'Ping' },
        { timeoutMs: 1000 },
      ),
    ).rejects.toMatchObject({ code: 'unavailable', reason: 'guest_agent.unreachable' });
  });
});

describe('streams', () => {
  it('find their connection, however long it takes from preparing to opening one', async () => {
    await guest((request) =>
      request.startsWith('{"Sync"')
        ? [request.replace('"Sync"', '"SyncAck"').replace('"}}', '","streams":1}}')]
        : [],
    );
    const open = await channel.prepareStream({ timeoutMs: 5_000 });
    const other = await channel.prepareStream({ timeoutMs: 5_000 });
    // As an operation does when its exchange is over; and longer than a connection stays that nothing uses.
    channel.rest();
    await sleep(1_500);
    const ends: unknown[] = [];
    const sink = { frame: () => {}, end: (end: unknown) => void ends.push(end) };
    open(new Uint8Array(), sink);
    await sleep(1_500);
    other(new Uint8Array(), sink);
    expect(ends).toEqual([]);
    expect(sockets).toHaveLength(1);
  });
});
