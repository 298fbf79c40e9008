import { expect, test } from 'vitest';
import { PassQueue } from './pass-queue.js';
import type { Trigger } from './status.js';

/** A queue whose passes end when the test says so, and that never runs one by itself. */
function queueOf() {
  const began: Trigger[] = [];
  const under: { answered: () => void; end: () => void }[] = [];
  const queue = new PassQueue({
    pass: (trigger, answered) =>
      new Promise((end) => {
        began.push(trigger);
        under.push({ answered, end });
      }),
    nextWait: () => ({ ms: 3_600_000, trigger: 'interval' }),
  });
  const answer = (): void => {
    const pass = under.shift();
    pass?.answered();
    pass?.end();
  };
  return { queue, began, answer };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what asks during a pass gets one more after it, and is up to date only then', async () => {
  const { queue, began, answer } = queueOf();
  queue.enqueue('start');
  queue.enqueue('event');
  queue.enqueue('desired');
  expect(began).toEqual(['start']);
  answer();
  await turn();
  expect(queue.isUpToDate).toBe(false);
  expect(began).toEqual(['start', 'desired']);
  answer();
  await turn();
  expect(queue.isUpToDate).toBe(true);
  expect(began).toHaveLength(2);
  await queue.stop();
});

test('passNow waits for a pass that begins after it', async () => {
  const { queue, began, answer } = queueOf();
  queue.enqueue('start');
  let isOver = false;
  const over = queue.passNow().then(() => {
    isOver = true;
  });
  answer();
  await turn();
  expect([isOver, began]).toEqual([false, ['start', 'request']]);
  answer();
  await over;
  await queue.stop();
});

test('after stop no pass begins, and no caller waits for one', async () => {
  const { queue, began, answer } = queueOf();
  queue.enqueue('start');
  const waiting = queue.passNow();
  const stopped = queue.stop();
  answer();
  await Promise.all([waiting, stopped, queue.passNow()]);
  queue.enqueue('event');
  expect(began).toEqual(['start']);
});
