import { expect, test } from 'vitest';
import { until } from './until.js';

test('until resolves with the first answer that is one; 0 and an empty text are', async () => {
  const answers = [null, undefined, false, 0, 1];
  expect(await until('a number', () => answers.shift(), { timeoutMs: 10_000 })).toBe(0);
  expect(await until('a text', async () => '', { timeoutMs: 0 })).toBe('');
  expect(answers).toEqual([1]);
});

test('until names what did not come, after a last look', async () => {
  let looks = 0;
  const probe = (): null => {
    looks += 1;
    return null;
  };
  await expect(until('the end', probe, { timeoutMs: 0 })).rejects.toThrow('the end: not within 0 ms');
  expect(looks).toBeGreaterThan(0);
});
