import { expect, test } from 'vitest';
import { rememberFor } from './remember.js';

test('a result is shared until its time is over', async () => {
  let now = 0;
  let runs = 0;
  const get = rememberFor(
    100,
    async () => ++runs,
    () => now,
  );
  expect(await Promise.all([get(), get()])).toEqual([1, 1]);
  now = 99;
  expect(await get()).toBe(1);
  now = 100;
  expect(await get()).toBe(2);
});

test('a failure is not kept', async () => {
  let runs = 0;
  const get = rememberFor(
    100,
    async () => {
      runs += 1;
      if (runs === 1) throw new Error('no');
      return runs;
    },
    () => 0,
  );
  await expect(get()).rejects.toThrow('no');
  await new Promise((resolve) => setImmediate(resolve));
  expect(await get()).toBe(2);
});
