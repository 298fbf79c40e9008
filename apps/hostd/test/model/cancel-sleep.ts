import { until } from '@mvm/testkit';
import { expect } from 'vitest';
import { addressOf } from './assert-consistent.js';
import { type Command, command } from './command.js';
import { operationText } from './requests.js';
import { apply, type InstanceOp, instancesOf, type ModelOperation } from './state.js';

/** Requests that a draining sleep gives way to. */
export const CANCELERS = ['stop', 'destroy', 'wake'] as const satisfies InstanceOp[];

/** Grants the guest so long that it never gets ready, see the fake VMM. */
const NEVER_READY_SECS = 3600;

/** A sleep whose guest drains for ever is canceled: it is aborted, and the other request is done at once. */
export function cancelSleep(known: number, by: (typeof CANCELERS)[number]): Command {
  return command(
    `${by} cancels a sleep of ${known}`,
    (state) => {
      const running = instancesOf(state).filter(({ instance }) => instance.status === 'running');
      return running[known % Math.max(1, running.length)] ?? null;
    },
    async ({ at }, { model, harness, say }) => {
      const operation: ModelOperation = { op: by, at, flag: false };
      say(`sleep canceled by ${operationText(operation)}`);
      const sleeping = harness.request(
        { op: 'sleep', at, flag: false },
        { drain_timeout_secs: NEVER_READY_SECS },
      );
      await until('the sleep under way', async () => {
        const { operation } = await harness.host.client.request({
          type: 'DescribeInstance',
          ...addressOf(at),
        });
        return operation === 'sleep';
      });
      expect(await harness.request(operation), operationText(operation)).toBe('ok');
      expect(await sleeping, 'the sleep').toBe('aborted instance.sleep_overtaken');
      // A wake that keeps a sleep from event has what it wants.
      if (by !== 'wake') model.state = apply(model.state, operation).state;
    },
  );
}
