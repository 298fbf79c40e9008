import { isCodedError } from '@mvm/errors';
import { describe, expect, it } from 'vitest';
import { clientFrameCodec, decodeFirstFrame, serverFrameCodec } from './frames.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const client = (body: string) => clientFrameCodec.decode(bytes(body));
const server = (body: string) => serverFrameCodec.decode(bytes(body));

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isCodedError(error)) return error.reason;
    throw error;
  }
  throw new Error('was accepted');
}

describe('client frames', () => {
  it('are Hello or an enveloped request', () => {
    expect(client('{"Hello":{"versions":[2,3],"client":"c"}}')).toEqual({
      type: 'Hello',
      versions: [2, 3],
      client: 'c',
    });
    expect(client('{"id":7,"request":"Ping"}')).toEqual({
      type: 'request',
      id: 7,
      request: { type: 'Ping' },
    });
    expect(client(' { "request" : { "HostInfo" : null } , "later" : [ {} ] , "id" : 0 } ')).toEqual({
      type: 'request',
      id: 0,
      request: { type: 'HostInfo' },
    });
  });

  it('may say on whose behalf the request is sent', () => {
    const origin = { uid: 1000, cause: 'api' };
    const frame = { type: 'request', id: 7, request: { type: 'Ping' }, origin } as const;
    expect(client('{"request":"Ping","origin":{"cause":"api","uid":1000},"id":7}')).toEqual(frame);
    const bytes = clientFrameCodec.encode(frame);
    expect(new TextDecoder().decode(bytes)).toBe(
      '{"id":7,"origin":{"uid":1000,"cause":"api"},"request":"Ping"}',
    );
    expect(clientFrameCodec.decode(bytes)).toEqual(frame);
    for (const bad of ['{"uid":-1,"cause":""}', '{"uid":1}', '"root"']) {
      expect(client(`{"id":7,"origin":${bad},"request":"Ping"}`)).toMatchObject({
        type: 'invalid_request',
        id: 7,
        error: { reason: 'protocol.invalid_message' },
      });
    }
  });

  it('keep the id of a request that cannot be read', () => {
    for (const [request, reason] of [
      ['"Nothing"', 'protocol.unknown_message'],
      ['{"StartInstance":{"tenant_id":1}}', 'protocol.invalid_message'],
      ['{"StartInstance":{"tenant_id":"a","tenant_id":"b"}}', 'protocol.duplicate_field'],
      ['{"StopInstance":{"tenant_id":"\\ud83d","pool_id":"p","instance_id":"i"}}', 'protocol.malformed_json'],
      ['[1,{"a":[]}]', 'protocol.invalid_message'],
      ['null', 'protocol.invalid_message'],
      ['{"ListInstances":{"limit":501}}', 'protocol.invalid_message'],
    ] as const) {
      for (const body of [`{"id":9,"request":${request}}`, `{"request":${request},"id":9}`]) {
        expect(client(body)).toMatchObject({
          type: 'invalid_request',
          id: 9,
          error: { code: 'invalid_argument', reason },
        });
      }
    }
  });

  it.each([
    ['"Ping"', 'protocol.invalid_message'],
    ['{}', 'protocol.invalid_message'],
    ['{"id":1}', 'protocol.invalid_message'],
    ['{"request":"Ping"}', 'protocol.invalid_message'],
    ['{"id":-1,"request":"Ping"}', 'protocol.invalid_message'],
    ['{"id":1.0,"request":"Ping"}', 'protocol.invalid_message'],
    ['{"id":"1","request":"Ping"}', 'protocol.invalid_message'],
    ['{"id":9007199254740992,"request":"Ping"}', 'protocol.invalid_message'],
    ['{"id":1,"id":1,"request":"Ping"}', 'protocol.duplicate_field'],
    ['{"id":1,"request":"Ping","request":"Ping"}', 'protocol.duplicate_field'],
    ['{"id":1,"request":"Ping"}}', 'protocol.malformed_json'],
    ['{"id":1,"request":{"StartInstance":{}', 'protocol.malformed_json'],
    ['{"Hello":{"versions":[],"client":"c"}}', 'protocol.invalid_message'],
    ['{"Hello":{"versions":[2],"client":"c"},"id":1}', 'protocol.invalid_message'],
    ['{"Hello":{"versions":[1.5],"client":"c"}}', 'protocol.invalid_message'],
    [`{"Hello":{"versions":[${'2,'.repeat(16)}2],"client":"c"}}`, 'protocol.invalid_message'],
    ['{"Hello":null}', 'protocol.invalid_message'],
    ['"Hello"', 'protocol.invalid_message'],
  ])('refuse %s', (body, reason) => expect(refusal(() => client(body))).toBe(reason));

  it('cannot be made of what could not be decoded', () => {
    const frame = client('{"id":9,"request":"Nothing"}');
    expect(refusal(() => clientFrameCodec.encode(frame))).toBe('protocol.unencodable');
    expect(
      refusal(() => clientFrameCodec.encode({ type: 'request', id: -1, request: { type: 'Ping' } })),
    ).toBe('protocol.unencodable');
  });
});

describe('server frames', () => {
  it('keep the id of a response that cannot be read', () => {
    expect(server('{"id":9,"response":{"Brand":{}}}')).toMatchObject({
      type: 'invalid_response',
      id: 9,
      error: { reason: 'protocol.unknown_message' },
    });
    expect(refusal(() => serverFrameCodec.encode(server('{"id":9,"response":1}')))).toBe(
      'protocol.unencodable',
    );
  });

  it('may be events of any form', () => {
    expect(server('{"event":{"x":[1,-0.5,"é",null,true,{}]},"later":1}')).toEqual({
      type: 'event',
      event: { x: [1, -0.5, 'é', null, true, {}] },
    });
    expect(text(serverFrameCodec.encode({ type: 'event', event: { b: [1], a: 'x' } }))).toBe(
      '{"event":{"b":[1],"a":"x"}}',
    );
    expect(refusal(() => server('{"event":1,"event":2}'))).toBe('protocol.duplicate_field');
    expect(refusal(() => server('{"event":{"a":1,"a":2}}'))).toBe('protocol.duplicate_field');
    expect(refusal(() => server('{"event":1e999}'))).toBe('protocol.invalid_message');
    expect(refusal(() => server('{"event":"\\ud800"}'))).toBe('protocol.malformed_json');
  });

  it('keep nested values to 127 levels, the envelope included', () => {
    const nested = (levels: number) => `{"event":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    expect(server(nested(126))).toMatchObject({ type: 'event' });
    expect(text(serverFrameCodec.encode(server(nested(126))))).toBe(nested(126));
    expect(refusal(() => server(nested(127)))).toBe('protocol.too_deep');
    expect(refusal(() => server(nested(500_000)))).toBe('protocol.too_deep');
  });

  it('refuse cycles and values that JSON does not have', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const event of [cycle, Number.NaN, undefined, () => 1, 5n, ['\ud800']]) {
      expect(refusal(() => serverFrameCodec.encode({ type: 'event', event: event as never }))).toBe(
        'protocol.unencodable',
      );
    }
  });
});

describe('first frame', () => {
  it('is Hello when that is the first key, else a request of version 1', () => {
    expect(decodeFirstFrame(bytes(' {"Hello":{"client":"c","versions":[2]}}'))).toEqual({
      type: 'hello',
      hello: { type: 'Hello', versions: [2], client: 'c' },
    });
    expect(decodeFirstFrame(bytes('"Ping"'))).toEqual({ type: 'v1', request: { type: 'Ping' } });
    expect(decodeFirstFrame(bytes('{"Ping":null}'))).toEqual({ type: 'v1', request: { type: 'Ping' } });
  });

  it.each([
    '',
    '{',
    '{"',
    '{}',
    '"HostInfo"',
    '{"id":1,"request":"Ping"}',
    '{"Hello":',
    '{"Hello":{}}',
    '[]',
    '{1',
  ])('is refused when it is %j', (body) =>
    expect(refusal(() => decodeFirstFrame(bytes(body)))).toMatch(/^protocol\./),
  );
});
