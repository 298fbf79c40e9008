import { describe, expect, it } from 'vitest';
import { FRAMING_REASONS, FramingError, type FramingReason, isFramingError } from './errors.js';

describe('FramingError', () => {
  it('has the brand and the fields of a coded error', () => {
    const cause = new Error('below');
    const error = new FramingError({
      reason: 'frame.timeout',
      message: 'too slow',
      details: { ms: 5 },
      cause,
    });
    expect((error as unknown as Record<symbol, unknown>)[Symbol.for('mvm.CodedError')]).toBe(true);
    expect({ ...error }).toEqual({
      name: 'FramingError',
      code: 'deadline_exceeded',
      reason: 'frame.timeout',
      retry: 'backoff',
      details: { ms: 5 },
      hint: undefined,
    });
    expect(error.cause).toBe(cause);
  });

  it.each(Object.entries(FRAMING_REASONS))('%s has the code %s and a retry class', (reason, code) => {
    const error = new FramingError({ reason: reason as FramingReason, message: 'x' });
    expect(error.code).toBe(code);
    expect(error.retry).toMatch(/^(never|backoff|after-change)$/);
    expect(reason).toMatch(/^[a-z]+\.[a-z_]+$/);
  });

  it('is told from other errors by its brand', () => {
    expect(isFramingError(new FramingError({ reason: 'frame.timeout', message: 'x' }))).toBe(true);
    expect(isFramingError(new Error('x'))).toBe(false);
    expect(isFramingError(Object.assign(new Error('x'), { name: 'FramingError' }))).toBe(false);
    expect(isFramingError({ name: 'FramingError' })).toBe(false);
  });
});
