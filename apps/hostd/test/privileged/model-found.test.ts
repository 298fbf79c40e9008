import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Command,
  crashedAt,
  faultyAt,
  MISCHIEF,
  type Model,
  requested,
  restart,
} from '../model/commands.js';
import { createRig, type Rig } from '../model/rig.js';
import type { At, InstanceOp } from '../model/state.js';

// Histories in which the random ones once found a mistake, or would have.

let rig: Rig;

beforeAll(async () => {
  rig = await createRig();
});
afterAll(() => rig?.dispose());

const at: At = { tenant: 'acme', pool: 'workers', id: 'i-a' };
const ask = (op: InstanceOp): { op: InstanceOp; at: At; flag: boolean } => ({ op, at, flag: true });
const ok = (...ops: InstanceOp[]): Command[] => ops.map((op) => requested(ask(op)));

test.each<[string, Command[]]>([
  [
    'a VM that dies as it is let run leaves nothing to settle',
    [faultyAt(ask('start'), 'resume', 'die'), ...ok('start', 'stop')],
  ],
  [
    'a VM that dies while it is saved is stopped, and starts again',
    [...ok('start'), faultyAt(ask('sleep'), 'save', 'die'), ...ok('start', 'sleep', 'wake')],
  ],
  [
    'a warm VM that dies as it is let go on is stopped',
    [...ok('start', 'warm'), faultyAt(ask('resume'), 'resume', 'die'), ...ok('start')],
  ],
  [
    'hostd that is killed while it makes the drives leaves none half-made',
    [2, 3, 2, 3].map((step) => crashedAt(ask('start'), step)),
  ],
  ...MISCHIEF.map((mischief): [string, Command[]] => [
    `${mischief} while hostd is down is put right, and a VM that lives goes on`,
    [
      ...ok('start'),
      restart(0, [mischief]),
      ...(mischief === 'kill-vm' ? ok('start') : ok('sleep', 'wake', 'stop')),
    ],
  ]),
])('%s', async (_, history) => {
  const model: Model = { state: await rig.begin() };
  let failed = true;
  try {
    for (const one of history) {
      expect(one.check(model)).toBe(true);
      await one.run(model, rig);
    }
    failed = false;
  } finally {
    await rig.end(failed);
  }
});
