import { expect } from 'vitest';
import { until } from '../daemon.js';
import { addressOf } from './agree.js';
import { askText } from './asks.js';
import { type Command, command } from './command.js';
import { type Ask, apply, type InstanceOp, instancesOf } from './state.js';

/** Requests that a draining sleep gives way to. */
export const OVERTAKERS = ['stop', 'destroy', 'wake'] as const satisfies InstanceOp[];

/** Grants the guest so long that it never gets ready, see the fake VMM. */
const NEVER_READY_SECS = 3600;

/** A sleep whose guest drains for ever is overtaken: it is aborted, and the other request is done at once. */
export function overtake(known: number, by: (typeof OVERTAKERS)[number]): Command {
  return command(
    `${by} overtakes a sleep of ${known}`,
    (state) => {
      const running = instancesOf(state).filter(({ instance }) => instance.status === 'running');
      return running[known % Math.max(1, running.length)] ?? null;
    },
    async ({ at }, { model, rig, say }) => {
      const ask: Ask = { op: by, at, flag: false };
      say(`sleep overtaken by ${askText(ask)}`);
      const sleeping = rig.ask({ op: 'sleep', at, flag: false }, { drain_timeout_secs: NEVER_READY_SECS });
      await until('the sleep under way', async () => {
        const { operation } = await rig.host.client.request({ type: 'DescribeInstance', ...addressOf(at) });
        return operation === 'sleep';
      });
      expect(await rig.ask(ask), askText(ask)).toBe('ok');
      expect(await sleeping, 'the sleep').toBe('aborted instance.sleep_overtaken');
      // A wake that keeps a sleep from happening has what it wants.
      if (by !== 'wake') model.state = apply(model.state, ask).state;
    },
  );
}
