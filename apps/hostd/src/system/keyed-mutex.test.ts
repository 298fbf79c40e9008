import { expect, test } from 'vitest';
import { createKeyedMutex } from './keyed-mutex.js';

test('work under one key runs one at a time, in order of arrival, also after a failure', async () => {
  const mutex = createKeyedMutex();
  const log: string[] = [];
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const first = mutex.run('a', async () => {
    await gate;
    log.push('first');
    throw new Error('first fails');
  });
  const second = mutex.run('a', async () => log.push('second'));
  const third = mutex.run('a', async () => log.push('third'));
  const other = mutex.run('b', async () => log.push('other'));
  await other;
  expect(log).toEqual(['other']);
  open();
  await expect(first).rejects.toThrow('first fails');
  await Promise.all([second, third]);
  expect(log).toEqual(['other', 'first', 'second', 'third']);
});

test('the entry of a key is deleted when its last holder releases it', async () => {
  const mutex = createKeyedMutex();
  const run = mutex.run('a', async () => {});
  expect(mutex.busy('a')).toBe(true);
  await run;
  await new Promise((resolve) => setImmediate(resolve));
  expect(mutex.busy('a')).toBe(false);
});
