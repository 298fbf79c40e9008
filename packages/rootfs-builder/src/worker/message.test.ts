import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readMessages, type WorkerMessage } from './message.js';

const PROGRESS = { kind: 'progress', layer: 1, layers: 2, doneBytes: 3, totalBytes: 4 } as const;
const FAILED = {
  kind: 'failed',
  error: {
    code: 'invalid_argument',
    reason: 'image.bad_layer',
    message: 'no',
    hint: null,
    details: { a: 1 },
  },
} as const;

async function read(...chunks: readonly (string | Buffer)[]) {
  const messages: WorkerMessage[] = [];
  const errors: string[] = [];
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  readMessages(
    stream,
    (message) => messages.push(message),
    (error) => errors.push(error.message),
  );
  await new Promise((done) => stream.on('end', done));
  return { messages, errors };
}

describe('readMessages', () => {
  it('reads lines, wherever the chunks end', async () => {
    const text = `${JSON.stringify(PROGRESS)}\n${JSON.stringify(FAILED)}\n`;
    for (const at of [1, 10, text.indexOf('\n'), text.indexOf('\n') + 1, text.length - 1]) {
      expect(await read(text.slice(0, at), text.slice(at))).toEqual({
        messages: [PROGRESS, FAILED],
        errors: [],
      });
    }
  });

  it.each([
    ['text', 'hello\n'],
    ['another kind', '{"kind":"other"}\n'],
    ['a code that is none', `${JSON.stringify({ ...FAILED, error: { ...FAILED.error, code: 'x' } })}\n`],
    ['a field too many', `${JSON.stringify({ ...PROGRESS, more: 1 })}\n`],
    ['a number that is none', `${JSON.stringify({ ...PROGRESS, layer: -1 })}\n`],
    ['bytes', Buffer.from([0xff, 0x00, 0x0a])],
  ])('ends with an error at %s, and reads nothing after it', async (_what, bytes) => {
    expect(await read(bytes, `${JSON.stringify(PROGRESS)}\n`)).toEqual({
      messages: [],
      errors: ['its worker wrote something that is no message'],
    });
  });

  it('ends with an error at a line that does not end', async () => {
    const part = Buffer.alloc(1024 * 1024, 0x20);
    expect(await read(...Array.from({ length: 20 }, () => part))).toEqual({
      messages: [],
      errors: ['its worker wrote a line that is too long'],
    });
  });
});
