import type { CodedError } from '@mvm/protocol';
import {
  decodeStreamFrame,
  encodeStreamFrame,
  STREAM_WINDOW_TO_CALLER,
  STREAM_WINDOW_TO_GUEST,
  type StreamEnd,
  type StreamFrame,
  streamIdOf,
} from '@mvm/protocol/guest';
import { beforeEach, describe, expect, it } from 'vitest';
import { type GuestStream, StreamMux, type StreamSink } from './stream-mux.js';

let sent: { id: number; frame: StreamFrame }[];
let ended: CodedError | null;
let unsent: number;
let mux: StreamMux;

/** What a caller of a stream got. */
interface Got {
  readonly stream: GuestStream;
  readonly frames: StreamFrame[];
  end: StreamEnd | null;
}

beforeEach(() => {
  sent = [];
  ended = null;
  unsent = 0;
  const connection = {
    get unsent() {
      return unsent;
    },
    write: async (body: Uint8Array) => {
      const frame = decodeStreamFrame(body);
      if (frame !== null) sent.push({ id: streamIdOf(body) ?? -1, frame });
    },
    close: (why: CodedError) => {
      ended = why;
      mux.endAll(why);
    },
  };
  mux = new StreamMux(connection, () => {});
});

const spec = new TextEncoder().encode('kind=exec\0');
function open(): Got {
  const got: { frames: StreamFrame[]; end: StreamEnd | null } = { frames: [], end: null };
  const sink: StreamSink = {
    frame: (body) => {
      expect(streamIdOf(body)).toBe(0);
      const frame = decodeStreamFrame(body);
      if (frame !== null) got.frames.push(frame);
    },
    end: (end) => {
      expect(got.end).toBeNull();
      got.end = end;
    },
  };
  return Object.assign(got, { stream: mux.open(spec, sink) });
}
const data = (bytes: number): StreamFrame => ({ type: 'data', channel: 1, data: new Uint8Array(bytes) });
const guestSends = (id: number, frame: StreamFrame): void => mux.receive(encodeStreamFrame(frame, id));
const end = (text: string): StreamFrame => ({ type: 'end', payload: new TextEncoder().encode(`${text}\0`) });
const violated = { type: 'Error', reason: 'guest_stream.violated' };

describe('the streams of a guest', () => {
  it('each get their own frames, and their end once', () => {
    const [one, two] = [open(), open()];
    expect(sent.map(({ id, frame }) => [id, frame.type])).toEqual([
      [1, 'open'],
      [2, 'open'],
    ]);
    guestSends(2, data(3));
    guestSends(1, end('code=7'));
    expect([one.frames.length, two.frames.length]).toEqual([0, 1]);
    expect([one.end, two.end]).toEqual([{ type: 'Exited', code: 7 }, null]);
    guestSends(2, end('signal=15'));
    expect(two.end).toEqual({ type: 'Killed', signal: 15 });
    expect(mux.size).toBe(0);
  });

  it.each([
    ['code=256', violated],
    ['signal=0', violated],
    ['', violated],
    ['error=no\x1b[31m such thing', { type: 'Error', reason: 'guest_stream.refused' }],
  ])('end as far as the guest can be believed: %j', (said, expected) => {
    const one = open();
    guestSends(1, end(said));
    expect(one.end).toMatchObject(expected);
    expect(one.end?.type === 'Error' ? one.end.message : '').not.toContain('\x1b');
  });

  it('pass on as much as the caller gave credit for, and no byte more', async () => {
    const one = open();
    for (let left = STREAM_WINDOW_TO_CALLER; left > 0; left -= 32_768) guestSends(1, data(32_768));
    expect(one.end).toBeNull();
    await one.stream.send(encodeStreamFrame({ type: 'credit', bytes: 512 }));
    guestSends(1, data(1));
    guestSends(1, data(256));
    expect(one.end).toBeNull();
    guestSends(1, data(1));
    expect(one.end).toMatchObject(violated);
    expect(sent.at(-1)).toMatchObject({ id: 1, frame: { type: 'close' } });
    const before = one.frames.length;
    guestSends(1, data(1));
    expect(one.frames).toHaveLength(before);
  });

  it.each<[string, (id: number) => void]>([
    ['credit for nothing', (id) => guestSends(id, { type: 'credit', bytes: 1 })],
    [
      'a channel’s end twice',
      (id) => {
        guestSends(id, { type: 'endOfData', channel: 1 });
        guestSends(id, { type: 'endOfData', channel: 1 });
      },
    ],
    ['a frame of hosts', (id) => guestSends(id, { type: 'signal', number: 9 })],
    ['a frame that is none', (id) => mux.receive(Uint8Array.of(2, 0, 0, 0, id))],
    ['a channel that there is not', (id) => mux.receive(Uint8Array.of(2, 0, 0, 0, id, 9, 9))],
  ])('end when the guest sends %s, and the others go on', (_what, misbehave) => {
    const [bad, good] = [open(), open()];
    misbehave(1);
    expect(bad.end).toMatchObject(violated);
    guestSends(2, data(1));
    expect(good).toMatchObject({ end: null, frames: [{ type: 'data' }] });
    expect(ended).toBeNull();
  });

  it('end all when the guest does not stop misbehaving', () => {
    const one = open();
    for (let at = 0; at <= 16; at += 1) guestSends(77, data(1));
    expect(ended).toMatchObject({ reason: 'guest_stream.violated' });
    expect(one.end).toMatchObject(violated);
    expect(() => open()).toThrow(/broke the rules/);
  });

  it('refuse what a caller may not send', async () => {
    const one = open();
    const send = (frame: StreamFrame) => one.stream.send(encodeStreamFrame(frame));
    await expect(send(end('code=0'))).rejects.toMatchObject({ reason: 'guest_stream.invalid' });
    await expect(send({ type: 'open', payload: spec })).rejects.toMatchObject({
      reason: 'guest_stream.invalid',
    });
    await expect(send({ type: 'credit', bytes: 1 })).rejects.toMatchObject({
      reason: 'guest_stream.invalid',
    });
    for (let left = STREAM_WINDOW_TO_GUEST; left > 0; left -= 32_768) await send(data(32_768));
    await expect(send(data(0))).rejects.toMatchObject({ reason: 'guest_stream.invalid' });
  });

  it('keep the id of a stream whose caller has left until the guest says that it is over', () => {
    const one = open();
    one.stream.abandon();
    one.stream.abandon();
    expect(sent.map(({ frame }) => frame.type)).toEqual(['open', 'close']);
    guestSends(1, data(1));
    expect(one).toMatchObject({ frames: [], end: null });
    expect(mux.size).toBe(1);
    guestSends(1, end('code=0'));
    expect(mux.size).toBe(0);
    expect(ended).toBeNull();
  });

  it('are at most 32, and none is added while the guest does not read', () => {
    for (let at = 0; at < 32; at += 1) open();
    expect(() => open()).toThrow(expect.objectContaining({ reason: 'guest_stream.too_many' }));
    guestSends(1, end('code=0'));
    unsent = 5_000_000;
    expect(() => open()).toThrow(expect.objectContaining({ reason: 'guest_stream.stalled' }));
  });
});
