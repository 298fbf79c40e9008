import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { instanceRecord } from '../../test/records.js';
import { endVmmUnlessReached } from './hung-vm.js';

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
  const watch = endVmmUnlessReached(instance, context, ports, 1);
  await vi.waitFor(() => expect(killed).toEqual(['tn1i2']));
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
  const watch = endVmmUnlessReached(instance, context, ports, 20);
  expect(await watch.reached()).toBe(false);
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(killed).toEqual([]);
});
