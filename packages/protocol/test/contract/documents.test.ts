import { describe, expect, it } from 'vitest';
import { guestAgentRequestCodec, guestAgentResponseCodec } from '../../src/guest/index.js';
import { type Codec, clientFrameCodec, serverFrameCodec } from '../../src/index.js';
import { v2RequestSchemas, v2ResponseSchemas } from '../../src/schemas.js';
import { parseDesiredState } from '../../src/state/index.js';
import { v1RequestCodec, v1RequestSchemas, v1ResponseCodec, v1ResponseSchemas } from '../../src/v1/index.js';
import { PROTOCOL_HISTORY } from '../../src/versions.js';
import { examplesOf, tableRows } from './markdown.js';

const PROTOCOL = 'docs/protocol.md';
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Decodes, encodes again, and gives the JSON of both as parsed by JSON.parse. */
function reencoded<T extends { type: string }>(
  codec: Codec<T>,
  text: string,
): { type: string; json: unknown } {
  const message = codec.decode(encoder.encode(text));
  return { type: message.type, json: JSON.parse(decoder.decode(codec.encode(message))) };
}

const readers: Readonly<Record<string, (text: string) => { type: string; json: unknown }>> = {
  'v1-request': (text) => reencoded(v1RequestCodec, text),
  'v1-response': (text) => reencoded(v1ResponseCodec, text),
  'client-frame': (text) => reencoded(clientFrameCodec, text),
  'server-frame': (text) => reencoded(serverFrameCodec, text),
  'desired-state': (text) => ({ type: 'desired-state', json: parseDesiredState(JSON.parse(text)) }),
};

const examples = [...examplesOf(PROTOCOL), ...examplesOf('docs/errors.md')].filter(
  ({ language }) => language === 'json',
);

/** Names of the messages that the examples of a kind show. */
function shown(kind: string, member: 'request' | 'response' | null): string[] {
  const bodies = examples.filter((example) => example.kind === kind).map(({ text }) => JSON.parse(text));
  const messages =
    member === null ? bodies : bodies.map((body) => body[member]).filter((body) => body !== undefined);
  return messages.map((message) => (typeof message === 'string' ? message : (Object.keys(message)[0] ?? '')));
}

describe('docs/protocol.md and docs/errors.md', () => {
  it.each(examples)('example at $at is what the codecs read and write', ({ kind, text }) => {
    const read = readers[kind];
    if (read === undefined) throw new Error(`no codec for an example of kind "${kind}"`);
    const { type, json } = read(text);
    expect(type).not.toMatch(/^invalid_/);
    expect(json).toEqual(JSON.parse(text));
  });

  it('show every message', () => {
    expect(shown('v1-request', null).sort()).toEqual(Object.keys(v1RequestSchemas).sort());
    expect(shown('v1-response', null).sort()).toEqual(Object.keys(v1ResponseSchemas).sort());
    const requests = new Set([...shown('client-frame', 'request'), ...Object.keys(v1RequestSchemas)]);
    expect([...requests].sort()).toEqual(Object.keys(v2RequestSchemas).sort());
    const responses = new Set([...shown('server-frame', 'response'), ...Object.keys(v1ResponseSchemas)]);
    expect([...responses].sort()).toEqual(Object.keys(v2ResponseSchemas).sort());
    expect(shown('client-frame', null)).toContain('Hello');
    expect(shown('server-frame', null)).toEqual(expect.arrayContaining(['Welcome', 'Error', 'event']));
  });

  it('show a frame byte for byte', () => {
    const [frame] = examplesOf(PROTOCOL).filter(({ language }) => language === 'hex');
    const bytes = Uint8Array.from((frame?.text ?? '').trim().split(/\s+/), (hex) => Number.parseInt(hex, 16));
    const length = new DataView(bytes.buffer).getUint32(0, false);
    expect(bytes.subarray(4)).toHaveLength(length);
    expect(v1RequestCodec.decode(bytes.subarray(4))).toEqual({ type: 'Ping' });
  });

  it('tell the dated history of the versions', () => {
    expect(tableRows(PROTOCOL, 'Versioning')).toEqual(
      PROTOCOL_HISTORY.map((entry) => [String(entry.version), entry.date, entry.summary]),
    );
  });

  it('show what a guest agent is asked and answers', () => {
    for (const [request, answer] of tableRows(PROTOCOL, 'Guest agent')) {
      const json = (cell: string | undefined) => /^(\{.*\}|"\w+")/.exec(cell ?? '')?.[0];
      const asked = json(request);
      if (asked !== undefined) reencoded(guestAgentRequestCodec, asked);
      expect(reencoded(guestAgentResponseCodec, json(answer) ?? '').type).not.toBe('');
    }
  });
});
