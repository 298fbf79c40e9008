import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createOperationSlots, type OperationSlots } from './operation-slots.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Operations by name, `<tenant>-<anything>`: those that run, in the order of their starts, and a way to end one. */
function observe(slots: OperationSlots) {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    started,
    begin: (...names: string[]): void => {
      for (const name of names) {
        void slots.run(name.split('-')[0] ?? '', () => {
          started.push(name);
          return new Promise<void>((end) => ends.set(name, end));
        });
      }
    },
    end: (name: string): Promise<unknown> => {
      ends.get(name)?.();
      return settle();
    },
  };
}

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

test('runs as many as there are places, and the next when one ends or fails', async () => {
  const slots = createOperationSlots(2);
  const { started, begin, end } = observe(slots);
  const failing = slots.run('a', () => Promise.reject(new Error('no')));
  begin('a-1', 'a-2', 'a-3');
  await expect(failing).rejects.toThrow('no');
  await settle();
  expect(started).toEqual(['a-1', 'a-2']);
  await end('a-2');
  expect(started).toEqual(['a-1', 'a-2', 'a-3']);
});

test('finding 10: operations that wait for their VMMs hold up no other tenant', async () => {
  const { started, begin } = observe(createOperationSlots(2, 1_000));
  begin('mute-1', 'mute-2', 'mute-3', 'other-1');
  await settle();
  expect(started).toEqual(['mute-1', 'mute-2']);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(started).toEqual(['mute-1', 'mute-2', 'other-1']);
  // The tenant has as many slow ones as it may.
  await vi.advanceTimersByTimeAsync(60_000);
  begin('other-2', 'third-1');
  await settle();
  expect(started).toEqual(['mute-1', 'mute-2', 'other-1', 'other-2', 'third-1']);
});

test('a slow operation that ends gives its tenant a place back', async () => {
  const { started, begin, end } = observe(createOperationSlots(1, 1_000));
  begin('mute-1', 'mute-2');
  await vi.advanceTimersByTimeAsync(5_000);
  expect(started).toEqual(['mute-1']);
  await end('mute-1');
  expect(started).toEqual(['mute-1', 'mute-2']);
});

test('a tenant that asks for much does not delay one that asks for little', async () => {
  const { started, begin, end } = observe(createOperationSlots(2));
  begin('big-1', 'big-2', 'big-3', 'big-4', 'small-1');
  await settle();
  await end('big-1');
  expect(started).toEqual(['big-1', 'big-2', 'small-1']);
});
