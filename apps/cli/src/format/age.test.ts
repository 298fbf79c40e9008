import { describe, expect, it } from 'vitest';
import { formatAge, formatAgeOf, formatAgo } from './age.js';

describe('formatAge', () => {
  const s = 1000;
  const m = 60 * s;
  const h = 60 * m;
  const d = 24 * h;
  it.each([
    [-2 * s, '<invalid>'],
    [-500, '0s'],
    [0, '0s'],
    [119 * s, '119s'],
    [2 * m, '2m'],
    [2 * m + s, '2m1s'],
    [10 * m + 59 * s, '10m'],
    [179 * m, '179m'],
    [3 * h, '3h'],
    [7 * h + 59 * m, '7h59m'],
    [8 * h + 59 * m, '8h'],
    [47 * h, '47h'],
    [48 * h, '2d'],
    [7 * d + 3 * h, '7d3h'],
    [8 * d, '8d'],
    [729 * d, '729d'],
    [730 * d, '2y'],
    [3 * 365 * d + 12 * d, '3y12d'],
    [9 * 365 * d + 12 * d, '9y'],
  ])('%i ms is %s', (span, text) => {
    expect(formatAge(span)).toBe(text);
  });

  it('takes RFC 3339 times', () => {
    expect(formatAgeOf('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:00:30Z'))).toBe('30s');
    expect(formatAgeOf(null, 0)).toBe('-');
    expect(formatAgeOf('nonsense', 0)).toBe('<invalid>');
  });

  it('is a phrase that makes sense for times that are still to come, too', () => {
    const now = Date.parse('2026-01-01T00:00:30Z');
    expect(formatAgo('2026-01-01T00:00:00Z', now)).toBe('30s ago');
    expect(formatAgo('2026-01-01T00:00:00Z', now - 720 * 3_600_000)).toBe('in the future');
    expect(formatAgo(null, now)).toBe('-');
  });
});
