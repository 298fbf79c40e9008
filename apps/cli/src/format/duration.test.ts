import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from './duration.js';

describe('parseDuration', () => {
  it.each([
    ['120s', 120_000],
    ['2m', 120_000],
    ['1m30s', 90_000],
    ['1h', 3_600_000],
    ['500ms', 500],
    ['5', 5000],
    ['0.5', 500],
  ])('%s is %i ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', 's', '0', '0s', '-1s', '1d', '30s1m', '1s1s', '1 s', '25h', '1e3', 'NaN', '9999999999s'])(
    'refuses %j',
    (text) => {
      expect(() => parseDuration(text)).toThrow(/for example 90s/);
    },
  );
});

it.each([
  [850, '850ms'],
  [12_345, '12.3s'],
  [2000, '2s'],
  [125_000, '2m5s'],
  [120_000, '2m'],
  [59_999, '1m'],
  [3_599_000, '59m59s'],
  [5_400_000, '1h30m'],
  [7_200_400, '2h'],
])('%i ms print as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
