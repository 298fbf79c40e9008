import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { encodeFrame } from './encode-frame.js';
import { type Codec, recvMessage, sendMessage } from './messages.js';
import { readFrame, writeFrame } from './stream-frames.js';

const reason = (value: string) => expect.objectContaining({ reason: value });
const numbers: Codec<number> = {
  encode: (value) => Buffer.from(String(value)),
  decode: (bytes) => Number(Buffer.from(bytes).toString()),
};

describe('readFrame', () => {
  it('takes one frame and leaves what follows in the stream', async () => {
    const stream = new PassThrough();
    stream.write(
      Buffer.concat([encodeFrame(Buffer.from('a')), encodeFrame(Buffer.from('bc')), Buffer.from('tail')]),
    );
    expect(Buffer.from((await readFrame(stream)) ?? []).toString()).toBe('a');
    expect(Buffer.from((await readFrame(stream)) ?? []).toString()).toBe('bc');
    expect(stream.read().toString()).toBe('tail');
  });

  it('waits for a frame that comes byte by byte', async () => {
    const stream = new PassThrough();
    const frame = readFrame(stream);
    for (const byte of encodeFrame(Buffer.from('slow'))) {
      stream.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(Buffer.from((await frame) ?? []).toString()).toBe('slow');
    expect(stream.listenerCount('readable') + stream.listenerCount('end')).toBe(0);
  });

  it('tells an orderly end from a truncated frame', async () => {
    const whole = new PassThrough();
    whole.end(encodeFrame(Buffer.from('x')));
    expect(await readFrame(whole)).toHaveLength(1);
    expect(await readFrame(whole)).toBeNull();
    expect(await readFrame(whole)).toBeNull();
    const truncated = new PassThrough();
    truncated.end(encodeFrame(Buffer.from('hello')).subarray(0, 6));
    await expect(readFrame(truncated)).rejects.toThrow(reason('frame.truncated'));
  });

  it('refuses a length above the limit', async () => {
    const stream = new PassThrough();
    stream.write(encodeFrame(new Uint8Array(11)));
    await expect(readFrame(stream, { maxFrameBytes: 10 })).rejects.toThrow(reason('frame.too_large'));
  });

  it('rejects when the stream fails or is closed, and when it is aborted', async () => {
    const failing = new PassThrough();
    const failed = expect(readFrame(failing)).rejects.toThrow(reason('connection.closed'));
    failing.destroy(new Error('EIO'));
    await failed;
    await expect(readFrame(failing)).rejects.toThrow(reason('connection.closed'));
    const closing = new PassThrough();
    const closed = expect(readFrame(closing)).rejects.toThrow(reason('connection.closed'));
    closing.destroy();
    await closed;
    const controller = new AbortController();
    const stream = new PassThrough();
    const aborted = expect(readFrame(stream, { signal: controller.signal })).rejects.toThrow(
      reason('request.canceled'),
    );
    controller.abort();
    await aborted;
    expect(stream.listenerCount('readable')).toBe(0);
  });
});

describe('writeFrame', () => {
  it('resolves only when the stream has taken the frame', async () => {
    let release: (() => void) | undefined;
    const taken: Buffer[] = [];
    const slow = new Writable({
      write(chunk, _encoding, callback) {
        taken.push(chunk);
        release = callback;
      },
    });
    let done = false;
    const written = writeFrame(slow, Buffer.from('abc')).then(() => {
      done = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    release?.();
    await written;
    expect(Buffer.concat(taken)).toEqual(Buffer.from(encodeFrame(Buffer.from('abc'))));
  });

  it('writes nothing of a frame above the limit', async () => {
    const stream = new PassThrough();
    await expect(writeFrame(stream, new Uint8Array(5), { maxFrameBytes: 4 })).rejects.toThrow(
      reason('frame.too_large'),
    );
    expect(stream.readableLength).toBe(0);
  });

  it('rejects on a stream that fails, is closed, or does not take the frame before the abort', async () => {
    const failing = new Writable({ write: (_chunk, _encoding, callback) => callback(new Error('EPIPE')) });
    await expect(writeFrame(failing, Buffer.from('x'))).rejects.toThrow(reason('connection.closed'));
    await expect(writeFrame(failing, Buffer.from('x'))).rejects.toThrow(reason('connection.closed'));
    const stuck = new Writable({ write: () => {} });
    const controller = new AbortController();
    const aborted = expect(
      writeFrame(stuck, Buffer.from('x'), { signal: controller.signal }),
    ).rejects.toThrow(reason('request.canceled'));
    controller.abort();
    await aborted;
    const closing = expect(writeFrame(stuck, Buffer.from('x'))).rejects.toThrow(reason('connection.closed'));
    stuck.destroy();
    await closing;
  });
});

describe('sendMessage and recvMessage', () => {
  it('carry messages of any codec over a stream', async () => {
    const stream = new PassThrough();
    await sendMessage(stream, numbers, 42);
    await sendMessage(stream, numbers, 7);
    stream.end();
    expect(await recvMessage(stream, numbers)).toBe(42);
    expect(await recvMessage(stream, numbers)).toBe(7);
    expect(await recvMessage(stream, numbers)).toBeNull();
  });

  it('pass on what the codec throws', async () => {
    const picky: Codec<number> = {
      ...numbers,
      decode: () => {
        throw new RangeError('no such number');
      },
    };
    const stream = new PassThrough();
    await sendMessage(stream, numbers, 1);
    await expect(recvMessage(stream, picky)).rejects.toThrow('no such number');
  });
});
