import { expect, it } from 'vitest';
import { formatBytes } from './bytes.js';

it.each([
  [0, '0B'],
  [1023, '1023B'],
  [1024, '1KiB'],
  [1536, '1.5KiB'],
  [1024 * 1024 - 1, '1MiB'],
  [268_435_456, '256MiB'],
  [5 * 1024 ** 4, '5TiB'],
  [5 * 1024 ** 5, '5120TiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
