import { describe, expect, it } from 'vitest';
import { CodedError, ERROR_CODES, errnoOf, isCodedError, toCodedError } from './coded-error.js';

const init = { code: 'unavailable', reason: 'test.gone', message: 'gone' } as const;

describe('CodedError', () => {
  it.each(Object.entries(ERROR_CODES))(
    '%s has its retry class and an exit code',
    (code, { retry, exitCode }) => {
      const error = new CodedError({ ...init, code: code as keyof typeof ERROR_CODES });
      expect(error.retry).toBe(retry);
      expect(exitCode).toBeGreaterThan(0);
    },
  );

  it('keeps what it is given, and has no details and no cause of its own', () => {
    expect({ ...new CodedError(init) }).toEqual({
      ...{ name: 'CodedError', code: 'unavailable', reason: 'test.gone', retry: 'backoff' },
      ...{ details: {}, hint: undefined },
    });
    expect('cause' in new CodedError(init)).toBe(false);
    const cause = new Error('below');
    expect(new CodedError({ ...init, cause }).cause).toBe(cause);
  });

  it('is known by its brand, in subclasses and other copies of the class too', () => {
    class Special extends CodedError {
      override readonly name = 'Special';
    }
    expect(isCodedError(new Special(init))).toBe(true);
    const foreign = Object.assign(new Error('x'), { [Symbol.for('mvm.CodedError')]: true });
    expect(isCodedError(foreign)).toBe(true);
    expect(isCodedError(new Error('x'))).toBe(false);
    expect(isCodedError({ [Symbol.for('mvm.CodedError')]: true })).toBe(false);
  });
});

describe('toCodedError', () => {
  it('passes a coded error on, and makes anything else internal', () => {
    const error = new CodedError(init);
    expect(toCodedError(error)).toBe(error);
    expect(toCodedError('text')).toMatchObject({
      code: 'internal',
      reason: 'internal.unexpected',
      message: 'text',
    });
    const hidden = {
      toString: () => {
        throw new Error('no');
      },
    };
    expect(toCodedError(hidden).message).toBe('a value that cannot be shown was thrown');
  });
});

it('errnoOf reads the errno of system errors only', () => {
  expect(errnoOf(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
  expect(errnoOf(Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' }))).toBeNull();
  expect(errnoOf({ code: 'ENOENT' })).toBeNull();
});
