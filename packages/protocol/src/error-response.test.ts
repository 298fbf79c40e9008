import { CodedError, ERROR_CODES, type ErrorCode, isCodedError, toCodedError } from '@mvm/errors';
import { describe, expect, it } from 'vitest';
import { errorFromResponse, errorToResponse } from './error-response.js';
import { v1ResponseCodec } from './v1/codec.js';
import { serverFrameCodec } from './v2/frames.js';

describe('errors across the socket', () => {
  it.each(Object.keys(ERROR_CODES) as ErrorCode[])('keep everything of %s', (code) => {
    const error = new CodedError({
      code,
      reason: 'test.reason',
      message: 'what happened',
      hint: 'what to do',
      details: { n: 1, s: 'x', b: true, z: null },
    });
    const bytes = serverFrameCodec.encode(errorToResponse(error));
    const frame = serverFrameCodec.decode(bytes);
    expect(frame.type).toBe('Error');
    const back = errorFromResponse(frame as Extract<typeof frame, { type: 'Error' }>);
    for (const field of ['code', 'reason', 'message', 'hint', 'details', 'retry'] as const) {
      expect(back[field]).toEqual(error[field]);
    }
  });

  it('carry neither stack nor cause', () => {
    const error = toCodedError(new Error('boom'));
    expect(error.cause).toBeInstanceOf(Error);
    expect(errorToResponse(error)).toEqual({
      type: 'Error',
      message: 'boom',
      code: 'internal',
      reason: 'internal.unexpected',
      retry: 'never',
    });
  });

  it.each([undefined, null, 'text', 7, { toString: () => 'odd' }])('can be made of %j', (thrown) => {
    expect(errorToResponse(thrown)).toMatchObject({
      type: 'Error',
      code: 'internal',
      message: String(thrown),
    });
  });

  it('can be made of what cannot even be shown', () => {
    expect(errorToResponse(Object.create(null))).toMatchObject({ code: 'internal' });
  });

  it('can always be encoded, whatever is in them', () => {
    const error = new CodedError({
      code: 'internal',
      reason: '\ud83d',
      message: '\u0000'.repeat(2_000_000),
      hint: 'h'.repeat(2_000_000),
      details: Object.fromEntries([
        ['nan', Number.NaN],
        ['lone\udc00', 'é'.repeat(100_000)],
        ...Array.from({ length: 1000 }, (_, i) => [`k${i}`, i]),
      ]),
    });
    const bytes = serverFrameCodec.encode(errorToResponse(error));
    expect(bytes.length).toBeLessThanOrEqual(1_048_576);
    expect(serverFrameCodec.decode(bytes)).toMatchObject({ type: 'Error', details: { nan: null } });
  });

  it('keep the message only in version 1', () => {
    const response = errorToResponse(
      new CodedError({ code: 'not_found', reason: 'x.y', message: 'm', hint: 'h' }),
    );
    expect(
      new TextDecoder().decode(v1ResponseCodec.encode({ type: 'Error', message: response.message })),
    ).toBe('{"Error":{"message":"m"}}');
    expect(v1ResponseCodec.encode(response as never)).toEqual(
      v1ResponseCodec.encode({ type: 'Error', message: response.message }),
    );
  });

  it('are internal when the peer names no code, or one that is not known here', () => {
    expect(errorFromResponse({ type: 'Error', message: 'm' })).toMatchObject({
      code: 'internal',
      reason: 'peer.error',
    });
    for (const code of ['brand_new', '__proto__', 'toString']) {
      expect(errorFromResponse({ type: 'Error', message: 'm', code, reason: 'a.b' })).toMatchObject({
        code: 'internal',
        reason: 'a.b',
      });
    }
  });
});

describe('CodedError', () => {
  it('is recognised by brand, not by class', () => {
    const foreign = new Error('from another copy');
    Object.defineProperty(foreign, Symbol.for('mvm.CodedError'), { value: true });
    expect(isCodedError(foreign)).toBe(true);
    expect(isCodedError(new Error('plain'))).toBe(false);
    expect(isCodedError({ code: 'internal' })).toBe(false);
    expect(toCodedError(foreign)).toBe(foreign);
  });
});
