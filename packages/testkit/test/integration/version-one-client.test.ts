import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { callVersionOne } from '../../src/index.js';

let dir: string;
let server: Server | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mvm-testkit-'));
});
afterEach(async () => {
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  rmSync(dir, { recursive: true });
});

/** Answers the bytes once the client has shut down its write half; tells what it received. */
function answerWith(bytes: Buffer): { path: string; received: Promise<Buffer> } {
  const path = join(dir, 's');
  const received = new Promise<Buffer>((resolve) => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => {
        resolve(Buffer.concat(chunks));
        socket.end(bytes);
      });
    }).listen(path);
  });
  return { path, received };
}

test('sends one frame, half-closes, and reads one frame', async () => {
  const { path, received } = answerWith(Buffer.from('\0\0\0\x06"Pong"', 'latin1'));
  expect(await callVersionOne(path, '"Ping"')).toBe('Pong');
  expect((await received).toString('latin1')).toBe('\0\0\0\x06"Ping"');
});

test.each([
  ['nothing', Buffer.alloc(0), /after 0 bytes/],
  ['half a frame', Buffer.from([0, 0, 0, 9, 34]), /1 bytes instead of 9/],
])('rejects when the server answers %s', async (_, bytes, message) => {
  await expect(callVersionOne(answerWith(bytes).path, '"Ping"')).rejects.toThrow(message);
});
