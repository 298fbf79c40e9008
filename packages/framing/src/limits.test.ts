import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, resolveLimits } from './limits.js';

describe('resolveLimits', () => {
  it('keeps every default that is not replaced', () => {
    expect(resolveLimits()).toEqual(DEFAULT_LIMITS);
    expect(resolveLimits({ maxConnections: 2, idleTimeoutMs: undefined })).toEqual({
      ...DEFAULT_LIMITS,
      maxConnections: 2,
    });
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32])('refuses %s', (value) => {
    expect(() => resolveLimits({ frameTimeoutMs: value })).toThrow(RangeError);
  });
});
