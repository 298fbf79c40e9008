import { isCodedError } from '@mvm/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryMessage } from '../test/arbitraries.js';
import { mutated } from '../test/hostile.js';
import { greetingFrames, helloFrame, v2Requests, v2Responses } from '../test/samples/messages.js';
import type { Codec } from './codec.js';
import { v2RequestSchemas } from './methods.js';
import type { TagTable } from './tagged.js';
import { v1RequestCodec, v1ResponseCodec } from './v1/codec.js';
import { v1RequestSchemas, v1ResponseSchemas } from './v1/schemas.js';
import {
  type ClientFrame,
  clientFrameCodec,
  decodeFirstFrame,
  type ServerFrame,
  serverFrameCodec,
} from './v2/frames.js';
import { v2ResponseSchemas } from './v2/responses.js';

const RUNS = { numRuns: 1000 };
const requestId = fc.maxSafeNat();

function roundTrips<T>(codec: Codec<T>, value: T): void {
  const bytes = codec.encode(value);
  const decoded = codec.decode(bytes);
  expect(decoded).toStrictEqual(value);
  expect(codec.encode(decoded)).toEqual(bytes);
}

describe('encode, then decode', () => {
  it('gives every version 1 request back', () => {
    const requests = arbitraryMessage(v1RequestSchemas) as fc.Arbitrary<never>;
    fc.assert(
      fc.property(requests, (request) => roundTrips(v1RequestCodec, request)),
      RUNS,
    );
  });

  it('gives every version 1 response back', () => {
    const responses = arbitraryMessage(v1ResponseSchemas) as fc.Arbitrary<never>;
    fc.assert(
      fc.property(responses, (response) => roundTrips(v1ResponseCodec, response)),
      RUNS,
    );
  });

  it('gives every version 2 request back', () => {
    const requests = arbitraryMessage(v2RequestSchemas) as fc.Arbitrary<never>;
    const check = (id: number, request: never) => {
      roundTrips<ClientFrame>(clientFrameCodec, { type: 'request', id, request });
    };
    fc.assert(fc.property(requestId, requests, check), RUNS);
  });

  it('gives every version 2 response back', () => {
    const responses = arbitraryMessage(v2ResponseSchemas) as fc.Arbitrary<never>;
    const check = (id: number, response: never) => {
      roundTrips<ServerFrame>(serverFrameCodec, { type: 'response', id, response });
    };
    fc.assert(fc.property(requestId, responses, check), RUNS);
  });

  it('means the same to JSON.parse', () => {
    const requests = arbitraryMessage(v2RequestSchemas) as fc.Arbitrary<never>;
    const check = (request: { type: string }) => {
      const text = new TextDecoder().decode(
        clientFrameCodec.encode({ type: 'request', id: 1, request: request as never }),
      );
      expect(JSON.parse(text)).toEqual({ id: 1, request: onTheWire(request) });
    };
    fc.assert(fc.property(requests, check), RUNS);
  });
});

/** A request as it stands in JSON, the one inside a PlanRequest too. */
function onTheWire({ type, ...fields }: { type: string; request?: { type: string } }): unknown {
  if ((v2RequestSchemas as TagTable)[type] === null) return type;
  return { [type]: fields.request === undefined ? fields : { request: onTheWire(fields.request) } };
}

describe('any JSON', () => {
  const decodeEvent = (json: string): unknown => {
    const frame = serverFrameCodec.decode(new TextEncoder().encode(`{"event":${json}}`));
    return frame.type === 'event' ? frame.event : undefined;
  };

  it('is read as JSON.parse reads it', () => {
    const values = fc.jsonValue({ stringUnit: 'binary', maxDepth: 6, noUnicodeString: false } as never);
    const spacing = fc.constantFrom(undefined, 1, '\t', '\r\n ');
    const check = (value: unknown, indent: string | number | undefined) => {
      const json = JSON.stringify(value, null, indent);
      expect(decodeEvent(json)).toStrictEqual(JSON.parse(json));
    };
    fc.assert(fc.property(values, spacing, check), RUNS);
  });

  it('is accepted exactly when JSON.parse accepts it, but for the documented refusals', () => {
    const bodies = [
      '{"a":[1,-2.5e+3,true,false,null],"b":{"c":"d\\n\\u00e9😀"}}',
      '[[],{},"",0]',
      '"x"',
      '-1.5E-7',
    ];
    const hostile = mutated(bodies.map((body) => new TextEncoder().encode(body)));
    const stricter = new Set(['protocol.duplicate_field', 'protocol.too_deep', 'protocol.invalid_utf8']);
    const check = (body: Uint8Array) => {
      const json = new TextDecoder('utf-8', { ignoreBOM: true }).decode(body);
      let wanted: unknown;
      let valid = true;
      try {
        wanted = JSON.parse(json);
      } catch {
        valid = false;
      }
      let reason: string | undefined;
      let position = Number.NaN;
      let value: unknown;
      try {
        value = decodeEvent(json);
      } catch (error) {
        if (!isCodedError(error)) throw error;
        ({ reason } = error);
        position = Number(error.details.position);
      }
      if (!valid) {
        // `1}, {"x":2` is no JSON value, but it may be one member and the beginning of the next.
        expect(reason !== undefined || /[,}]/.test(json)).toBe(true);
      } else if (reason === undefined) expect(value).toStrictEqual(wanted);
      else {
        const loneSurrogate = /\\u[dD][89a-fA-F]/.test(json);
        const outOfRange = /[eE]/.test(json) || json.length > 300;
        expect(stricter.has(reason) || loneSurrogate || outOfRange, `${reason} at ${position}`).toBe(true);
      }
    };
    fc.assert(fc.property(hostile, check), { numRuns: 10_000 });
  });
});

describe('mutated frames', () => {
  const encode = <T>(codec: Codec<T>, values: readonly T[]): Uint8Array[] =>
    values.map((value) => codec.encode(value));
  const requests = Object.values(v2Requests).flatMap((variants) => Object.values(variants));
  const responses = Object.values(v2Responses).flatMap((variants) => Object.values(variants));
  const v1Bodies = requests
    .filter((request) => Object.hasOwn(v1RequestSchemas, request.type))
    .map((request) => v1RequestCodec.encode(request as never));
  const bodies = [
    ...v1Bodies,
    ...encode(clientFrameCodec, [
      helloFrame,
      ...requests.map((request): ClientFrame => ({ type: 'request', id: 7, request })),
    ]),
    ...encode(serverFrameCodec, [
      ...Object.values(greetingFrames),
      ...responses.map((response): ServerFrame => ({ type: 'response', id: 7, response })),
    ]),
  ];

  /** Refused with a CodedError, or a value whose encoding is stable. */
  function survives<T extends { type: string }>(codec: Codec<T>, body: Uint8Array): 'accepted' | 'refused' {
    let value: T;
    try {
      value = codec.decode(body);
    } catch (error) {
      if (!isCodedError(error)) throw error;
      expect(error.code).toBe('invalid_argument');
      expect(error.reason).toMatch(/^protocol\.[a-z0-9_]+$/);
      expect(error.message.length).toBeLessThan(1000);
      return 'refused';
    }
    if (value.type.startsWith('invalid_')) return 'refused';
    const bytes = codec.encode(value);
    expect(codec.encode(codec.decode(bytes))).toEqual(bytes);
    return 'accepted';
  }

  it('are refused with a CodedError or mean something, with every codec', () => {
    const seen = { accepted: 0, refused: 0 };
    const check = (body: Uint8Array) => {
      seen[survives(v1RequestCodec, body)] += 1;
      seen[survives(v1ResponseCodec, body)] += 1;
      seen[survives(clientFrameCodec, body)] += 1;
      seen[survives(serverFrameCodec, body)] += 1;
      try {
        decodeFirstFrame(body);
      } catch (error) {
        expect(isCodedError(error)).toBe(true);
      }
    };
    fc.assert(fc.property(mutated(bodies), check), { numRuns: 10_000 });
    expect(seen.accepted).toBeGreaterThan(100);
    expect(seen.refused).toBeGreaterThan(1000);
  });

  it('are refused with a CodedError when they are random bytes', () => {
    const check = (body: Uint8Array) => {
      survives(v1RequestCodec, body);
      survives(clientFrameCodec, body);
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), check), RUNS);
  });
});
