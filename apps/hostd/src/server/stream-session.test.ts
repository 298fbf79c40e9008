import type { FrameConnection } from '@mvm/framing';
import { CodedError, serverFrameCodec } from '@mvm/protocol';
import { decodeStreamFrame, encodeStreamFrame } from '@mvm/protocol/guest';
import { expect, it } from 'vitest';
import type { StreamSink } from '../guest-agent/stream-mux.js';
import { createStreamLimits } from './stream-limits.js';
import { serveStream } from './stream-session.js';

const request = {
  type: 'OpenStream',
  tenant_id: 'acme',
  pool_id: 'workers',
  instance_id: 'i-a',
  open: { kind: 'exec', args: ['true'] },
} as const;

/** A caller, and a guest that has said something and ended before the audit log's head is durable. */
function quickGuest(recorded: Promise<void>) {
  const sent: Uint8Array[] = [];
  const events: string[] = [];
  const connection = {
    hold: () => () => {},
    signal: new AbortController().signal,
    write: async (body: Uint8Array) => {
      sent.push(body);
    },
    read: () => new Promise(() => {}),
    destroy: () => events.push('destroyed'),
  } as unknown as FrameConnection;
  const served = serveStream(
    connection,
    {
      id: 1,
      request: { ...request, open: { kind: 'exec', args: ['true'] } },
      peer: { pid: 1, uid: 0, gid: 0 },
      origin: undefined,
    },
    {
      limits: createStreamLimits(),
      prepare: async () => ({
        recorded,
        open: (sink: StreamSink) => {
          events.push('opened');
          sink.frame(encodeStreamFrame({ type: 'data', channel: 1, data: Buffer.from('hello') }));
          sink.end({ type: 'Exited', code: 0 });
          return { send: async () => {}, abandon: () => events.push('abandoned') };
        },
        ended: async (end) => {
          events.push(`ended ${end?.type}`);
        },
      }),
    },
  );
  return { sent, events, served };
}

it('asks the guest at once, and passes nothing on before the audit log’s head is durable', async () => {
  let record = (): void => {};
  const { sent, events, served } = quickGuest(
    new Promise((resolve) => {
      record = resolve;
    }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect({ sent, events }).toEqual({ sent: [], events: ['opened'] });
  record();
  await served;
  expect(serverFrameCodec.decode(sent[0] as Uint8Array)).toMatchObject({
    response: { type: 'StreamOpened' },
  });
  expect(sent.slice(1).map((body) => decodeStreamFrame(body)?.type)).toEqual(['data', 'end']);
  expect(events).toEqual(['opened', 'abandoned', 'ended Exited']);
});

it('leaves the guest and answers why when the head cannot be written', async () => {
  const why = new CodedError({
    code: 'resource_exhausted',
    reason: 'disk.full',
    message: 'the disk is full',
  });
  const recorded = Promise.reject(why);
  recorded.catch(() => {});
  const { sent, events, served } = quickGuest(recorded);
  await served;
  expect(sent.map((body) => serverFrameCodec.decode(body))).toMatchObject([
    { response: { type: 'Error', reason: 'disk.full' } },
  ]);
  expect(events).toEqual(['opened', 'abandoned', 'ended Error']);
});
