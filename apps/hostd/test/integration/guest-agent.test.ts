import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame } from '@mvm/framing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askGuestAgent } from '../../src/guest-agent/agent-channel.js';

let directory: string;
let path: string;
let server: Server;
let sockets: Socket[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-agent-'));
  path = join(directory, 'agent.sock');
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
});

/** A guest whose answer to any bytes is `answers`, as they stand. */
async function guest(...answers: (string | Uint8Array)[]): Promise<Buffer[]> {
  const received: Buffer[] = [];
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received.push(chunk);
      for (const answer of answers) {
        socket.write(typeof answer === 'string' ? encodeFrame(Buffer.from(answer)) : answer);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return received;
}

const ask = (timeoutMs = 5000): Promise<unknown> =>
  askGuestAgent(path, { type: 'SleepPrep', drain_timeout_secs: 3 }, { timeoutMs });

describe('the channel to a guest', () => {
  it('asks in the frames that agents speak', async () => {
    const received = await guest('{"SleepPrepAck":{"success":true,"detail":null}}');
    expect(await ask()).toEqual({ type: 'SleepPrepAck', success: true, detail: null });
    expect(Buffer.concat(received).toString('latin1')).toBe(
      '\0\0\0\x26{"SleepPrep":{"drain_timeout_secs":3}}',
    );
  });

  it('passes over late answers to earlier requests', async () => {
    await guest(
      '"Pong"',
      '{"WakeAck":{"success":true}}',
      '{"SleepPrepAck":{"success":false,"detail":"busy"}}',
    );
    expect(await ask()).toEqual({ type: 'SleepPrepAck', success: false, detail: 'busy' });
  });

  it('does not wait for ever', async () => {
    await guest();
    await expect(ask(100)).rejects.toMatchObject({
      code: 'deadline_exceeded',
      reason: 'guest_agent.no_answer',
    });
  });

  it('can be given up', async () => {
    await guest();
    const controller = new AbortController();
    const asked = askGuestAgent(path, { type: 'Ping' }, { timeoutMs: 5000, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(asked).rejects.toMatchObject({ code: 'canceled' });
  });

  it.each([
    ['an Error', ['{"Error":{"message":"no\\u001b[2J"}}'], 'guest_agent.refused'],
    ['only other answers', Array.from({ length: 16 }, () => '"Pong"'), 'guest_agent.nonsense'],
    ['no JSON', ['}{'], 'protocol.'],
    ['an endless frame', [Buffer.from([0, 4, 0, 1])], 'frame.too_large'],
  ])('takes %s for what it is', async (_, answers, reason) => {
    await guest(...answers);
    await expect(ask()).rejects.toMatchObject({ reason: expect.stringContaining(reason) });
  });

  it('tells that there is nobody', async () => {
    await guest();
    await expect(
      askGuestAgent(join(directory, 'none.sock'), { type: 'Ping' }, { timeoutMs: 1000 }),
    ).rejects.toMatchObject({ code: 'unavailable', reason: 'guest_agent.unreachable' });
  });
});
