import { expect, test } from 'vitest';
import { shareRuns } from './share-runs.js';

test('finding 16: one run at a time, shared by those who wait for the next', async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  const count = shareRuns(async () => {
    running += 1;
    runs += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    return runs;
  });
  const first = count();
  await new Promise((resolve) => setTimeout(resolve, 1));
  const others = await Promise.all(Array.from({ length: 320 }, () => count()));
  expect(await first).toBe(1);
  expect(new Set(others)).toEqual(new Set([2]));
  expect({ most, runs }).toEqual({ most: 1, runs: 2 });
});

test('other questions are asked one after the other, and a failure is only theirs who asked', async () => {
  const ask = shareRuns(
    async (id: number) => {
      if (id === 1) throw new Error('no');
      return id;
    },
    (id) => id,
  );
  const answers = await Promise.allSettled([ask(1), ask(2), ask(2), ask(1)]);
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'rejected']);
});
