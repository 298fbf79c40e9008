import { describe, expect, it } from 'vitest';
import { MAX_FRAME_BYTES } from '../constants.js';
import { v1RequestCodec, v1ResponseCodec } from './codec.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const start = (extra: string): string =>
  `{"StartInstance":{"tenant_id":"t","pool_id":"p",${extra}"instance_id":"i"}}`;
const sleep = (timeout: string): string =>
  `{"SleepInstance":{"tenant_id":"t","pool_id":"p","instance_id":"i","force":true,"drain_timeout_secs":${timeout}}}`;
const setup = (netId: string): string =>
  `{"SetupNetwork":{"tenant_id":"t","net":{"tenant_net_id":${netId},"ipv4_subnet":"s","gateway_ip":"g","bridge_name":"b"}}}`;

function refusal(body: string | Uint8Array): string {
  try {
    v1RequestCodec.decode(typeof body === 'string' ? bytes(body) : body);
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid_argument', retry: 'never', hint: expect.any(String) });
    return (error as { reason: string }).reason;
  }
  throw new Error('was accepted');
}

describe('version 1 bodies', () => {
  it.each([
    ['a byte order mark', '\ufeff"Ping"', 'protocol.malformed_json'],
    ['a no-break space', '\u00a0"Ping"', 'protocol.malformed_json'],
    ['nothing but white space', ' \t\r\n', 'protocol.malformed_json'],
    ['two values', '"Ping""Ping"', 'protocol.malformed_json'],
    ['a NUL after the value', '"Ping"\u0000', 'protocol.malformed_json'],
    ['a trailing comma', '{"Ping":null,}', 'protocol.malformed_json'],
    ['a missing brace', '{"Ping":null', 'protocol.malformed_json'],
    ['an unterminated string', '"Ping', 'protocol.malformed_json'],
    ['a raw line feed in a string', '"Pi\nng"', 'protocol.malformed_json'],
    ['an unknown escape', '"\\x50ing"', 'protocol.malformed_json'],
    ['a short unicode escape', '"\\u50"', 'protocol.malformed_json'],
    ['a lone surrogate in a name', '{"\\udc00":1}', 'protocol.malformed_json'],
    ['a lone surrogate in an unknown name', start('"\\ud800":1,'), 'protocol.malformed_json'],
    ['a name without quotes', '{Ping:null}', 'protocol.malformed_json'],
    ['a field twice, once escaped', start('"\\u0074enant_id":"u",'), 'protocol.duplicate_field'],
    ['a field twice with the same value', start('"tenant_id":"t",'), 'protocol.duplicate_field'],
    ['a nested field twice', setup('3,"tenant_net_id":3'), 'protocol.duplicate_field'],
    ['an Option twice', sleep('null,"drain_timeout_secs":5'), 'protocol.duplicate_field'],
    ['an unknown message', '{"toString":null}', 'protocol.unknown_message'],
    ['the message __proto__', '{"__proto__":{}}', 'protocol.unknown_message'],
    ['the message twice', '{"Ping":null,"Ping":null}', 'protocol.invalid_message'],
    ['a struct as an array', '{"StartInstance":["t","p","i"]}', 'protocol.invalid_message'],
    ['null for a struct', '{"StartInstance":null}', 'protocol.invalid_message'],
    ['syntax in an unknown field', start('"x":[1,],'), 'protocol.malformed_json'],
  ])('refuse %s', (_name, body, reason) => expect(refusal(body)).toBe(reason));

  it.each([
    [[0x22, 0xff, 0x22]],
    [[0x22, 0xc0, 0x80, 0x22]],
    [[0x22, 0xed, 0xa0, 0x80, 0x22]],
    [[0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]],
    [[0x22, 0xe2, 0x82]],
  ])('refuse the invalid UTF-8 %j', (body) => {
    expect(refusal(new Uint8Array(body))).toBe('protocol.invalid_utf8');
  });

  it('refuse a body over the limit, in both directions', () => {
    expect(refusal(new Uint8Array(MAX_FRAME_BYTES + 1))).toBe('protocol.message_too_large');
    const tooLarge = expect.objectContaining({
      code: 'invalid_argument',
      reason: 'protocol.message_too_large',
    });
    expect(() => v1ResponseCodec.encode({ type: 'Error', message: 'x'.repeat(MAX_FRAME_BYTES) })).toThrow(
      tooLarge,
    );
    // Few UTF-16 units, but three bytes each.
    expect(() => v1ResponseCodec.encode({ type: 'Error', message: '€'.repeat(350_000) })).toThrow(tooLarge);
    const frame = '{"Error":{"message":""}}'.length;
    const largest = { type: 'Error' as const, message: 'x'.repeat(MAX_FRAME_BYTES - frame) };
    expect(v1ResponseCodec.encode(largest)).toHaveLength(MAX_FRAME_BYTES);
    expect(v1ResponseCodec.decode(v1ResponseCodec.encode(largest))).toEqual(largest);
  });

  it('take unknown fields of any form, as a serde peer does', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const objects = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;
    for (const value of [
      deep,
      objects,
      '1e999',
      '"\\ud800"',
      '{"a":1,"a":2}',
      '-0.0E-0',
      '[]',
      '{}',
      ' [ 1 , { } ] ',
    ]) {
      expect(v1RequestCodec.decode(bytes(start(`"x":${value},"x":${value},`)))).toEqual({
        type: 'StartInstance',
        tenant_id: 't',
        pool_id: 'p',
        instance_id: 'i',
      });
    }
  });

  it('take fields named like members of every object as data', () => {
    const message = v1RequestCodec.decode(
      bytes(start('"__proto__":{"instance_id":"evil"},"constructor":1,"type":"x",')),
    );
    expect(message).toEqual({ type: 'StartInstance', tenant_id: 't', pool_id: 'p', instance_id: 'i' });
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
    expect(refusal('{"StartInstance":{"__proto__":{"tenant_id":"t","pool_id":"p","instance_id":"i"}}}')).toBe(
      'protocol.invalid_message',
    );
  });
});

describe('version 1 integers', () => {
  it.each([
    ['0', 0],
    ['9007199254740991', 9_007_199_254_740_991],
    ['9007199254740992', 9_007_199_254_740_991],
    ['18446744073709551615', 9_007_199_254_740_991],
    ['null', null],
  ])('take a timeout of %s', (token, value) => {
    expect(v1RequestCodec.decode(bytes(sleep(token)))).toMatchObject({ drain_timeout_secs: value });
  });

  it.each(['-0', '-1', '1.0', '1e2', '0e0', '18446744073709551616', '1'.repeat(1000), '"5"', 'true', '[]'])(
    'refuse a timeout of %s',
    (token) => expect(refusal(sleep(token))).toBe('protocol.invalid_message'),
  );

  it.each(['01', '00', '+1', '.5', '1.', '1e', '1e+', '-', '0x10', '1_000'])(
    'refuse the token %s',
    (token) => {
      expect(refusal(sleep(token))).toBe('protocol.malformed_json');
    },
  );

  it.each(['0', '65535'])('take a net id of %s', (token) => {
    expect(v1RequestCodec.decode(bytes(setup(token)))).toMatchObject({
      net: { tenant_net_id: Number(token) },
    });
  });

  it.each(['65536', '-0', '3.0', '3e0', '18446744073709551616', '1'.repeat(400)])(
    'refuse a net id of %s',
    (token) => {
      expect(refusal(setup(token))).toBe('protocol.invalid_message');
    },
  );
});

describe('version 1 encoding', () => {
  it('writes fields in order, an absent timeout as null, nothing else', () => {
    const message = {
      extra: 1,
      force: false,
      instance_id: 'i',
      pool_id: 'p',
      tenant_id: 't',
      type: 'SleepInstance',
    };
    expect(text(v1RequestCodec.encode(message as never))).toBe(
      '{"SleepInstance":{"tenant_id":"t","pool_id":"p","instance_id":"i","force":false,"drain_timeout_secs":null}}',
    );
  });

  it.each([
    [{ type: 'Nothing' }],
    [{ type: 'StartInstance', tenant_id: 't', pool_id: 'p' }],
    [{ type: 'StartInstance', tenant_id: 't', pool_id: 'p', instance_id: 5 }],
    [{ type: 'StopInstance', tenant_id: '\ud83d', pool_id: 'p', instance_id: 'i' }],
    [{ type: 'SetupNetwork', tenant_id: 't', net: null }],
    [{ type: 'SetupNetwork', tenant_id: 't', net: { tenant_net_id: 65_536 } }],
    [{ type: 'DestroyInstance', tenant_id: 't', pool_id: 'p', instance_id: 'i', wipe_volumes: 1 }],
  ])('refuses %j', (message) => {
    expect(() => v1RequestCodec.encode(message as never)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason: 'protocol.unencodable' }),
    );
  });
});
