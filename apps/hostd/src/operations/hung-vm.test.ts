import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { instanceRecord } from '../../test/records.js';
import { endVmmUnlessReached } from './hung-vm.js';

const timer = vi.hoisted(() => ({ elapse: () => {} }));
vi.mock('node:timers/promises', async (original) => ({
  ...(await original<typeof import('node:timers/promises')>()),
  setTimeout: <T>(_ms: number, value: T, { signal }: { signal: AbortSignal }) =>
    new Promise<T>((resolve, reject) => {
      timer.elapse = () => resolve(value);
      signal.addEventListener('abort', reject);
    }),
}));

const instance = instanceRecord({ net: { ...instanceRecord().net, tap_dev: 'tn1i2' } as never });
const context = { opId: 'op', peer: null, logger: pino({ level: 'silent' }), auditDetails: new Map() };
const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A host on which a cgroup's end is waited for until `finish`. */
function hostOf(): { ports: never; killed: string[]; finish(): void } {
  let finish = (): void => {};
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const killed: string[] = [];
  const kill = async (vmId: string): Promise<void> => {
    killed.push(vmId);
    await over;
  };
  const ports = { store: { instance: () => instance }, cgroups: { kill }, processes: { kill } };
  return { ports: ports as never, killed, finish: () => finish() };
}

test('who has the lock goes on only when nothing is ended any more', async () => {
  const { ports, killed, finish } = hostOf();
  const watch = endVmmUnlessReached(instance, context, ports);
  timer.elapse();
  await turns();
  expect(killed).toEqual(['tn1i2']);
  let goesOn = false;
  const reached = Promise.resolve(watch.reached()).then((ended) => {
    goesOn = true;
    return ended;
  });
  await turns();
  expect(goesOn).toBe(false);
  finish();
  expect(await reached).toBe(true);
  expect(killed).toEqual(['tn1i2', 'tn1i2']);
});

test('one that is reached in time ends nothing', async () => {
  const { ports, killed } = hostOf();
  const watch = endVmmUnlessReached(instance, context, ports);
  expect(await watch.reached()).toBe(false);
  timer.elapse();
  await turns();
  expect(killed).toEqual([]);
});
