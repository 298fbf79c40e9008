import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Rush, runBatch } from '../model/batches.js';
import { cancelSleep } from '../model/cancel-sleep.js';
import type { Command, Model } from '../model/command.js';
import { faultyAt, MISCHIEF, requested, restart } from '../model/commands.js';
import { crashedAt } from '../model/crash.js';
import { damageSnapshot, SPOILINGS } from '../model/damage.js';
import { createHarness, type Harness } from '../model/harness.js';
import { ORPHANS } from '../model/orphans.js';
import { type At, apply, type InstanceOp, type ModelOperation } from '../model/state.js';

// Histories in which the random ones once found a mistake, or would have; each would be found broken by one of these at once.

let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness?.dispose());

const at: At = { tenant: 'acme', pool: 'workers', id: 'i-a' };
const operation = (op: InstanceOp): { op: InstanceOp; at: At; flag: boolean } => ({ op, at, flag: true });
const ok = (...ops: InstanceOp[]): Command[] => ops.map((op) => requested(operation(op)));

test.each<[string, Command[]]>([
  [
    'a VM that dies as it is let run leaves nothing to settle',
    [faultyAt(operation('start'), 'resume', 'die'), ...ok('start', 'stop')],
  ],
  [
    'a VM that dies while it is saved is stopped, and starts again',
    [...ok('start'), faultyAt(operation('sleep'), 'save', 'die'), ...ok('start', 'sleep', 'wake')],
  ],
  [
    'a warm VM that dies as it is let go on is stopped',
    [...ok('start', 'warm'), faultyAt(operation('resume'), 'resume', 'die'), ...ok('start')],
  ],
  [
    'hostd that is killed while it makes the drives leaves none half-made',
    [2, 3, 2, 3].map((step) => crashedAt(operation('start'), step)),
  ],
  [
    'hostd that is killed with a VM paused or let run lets it be what its record says',
    [
      ...ok('start'),
      faultyAt(operation('sleep'), 'pause', 'hang-done'),
      faultyAt(operation('warm'), 'pause', 'hang-done'),
      faultyAt(operation('sleep'), 'pause', 'fail-done'),
      ...ok('warm'),
      faultyAt(operation('resume'), 'resume', 'hang-done'),
      faultyAt(operation('resume'), 'resume', 'fail-done'),
      ...ok('resume'),
    ],
  ],
  ...[2, 3, 4, 5].map((step): [string, Command[]] => [
    `hostd that is killed at step ${step} of a sleep finishes it, or lets the guest run on`,
    [...ok('start'), crashedAt(operation('sleep'), step)],
  ]),
  [
    'a sleep gives way to a request that cancels it',
    [
      ...ok('start'),
      cancelSleep(0, 'wake'),
      cancelSleep(0, 'stop'),
      ...ok('start'),
      cancelSleep(0, 'destroy'),
    ],
  ],
  ...[...new Set(SPOILINGS)].map((what): [string, Command[]] => [
    `a snapshot with ${what} spoiled is not woken`,
    [...ok('start', 'sleep'), damageSnapshot(0, what, true), ...ok('stop', 'start')],
  ]),
  ...ORPHANS.map((part): [string, Command[]] => [
    `the next start of hostd removes the ${part} of an unknown VM, and leaves what is another program's`,
    [...ok('start'), restart(0, [], [part]), ...ok('sleep', 'wake')],
  ]),
  ...MISCHIEF.map((interference): [string, Command[]] => [
    `${interference} while hostd is down is put right, and a VM that lives goes on`,
    [
      ...ok('start'),
      restart(0, [interference]),
      ...(interference === 'kill-vm' ? ok('start') : ok('sleep', 'wake', 'stop')),
    ],
  ]),
])('%s', async (_, history) => {
  const model: Model = { state: await harness.begin() };
  let failed = true;
  try {
    for (const one of history) {
      expect(one.check(model)).toBe(true);
      await one.run(model, harness);
    }
    failed = false;
  } finally {
    await harness.end(failed);
  }
});

/** Requests at one moment, and nothing else. */
const ALONE = { drawn: [], onOne: null, versionOne: [], meanwhile: 'nothing', when: 1 } as const;

const RUSHES: readonly [Rush, readonly (readonly [InstanceOp, string])[]][] = [
  ['start', []],
  ['teardown', []],
  ['create', []],
  ['warm', ['i-a', 'i-b'].map((id) => ['start', id] as const)],
  [
    'wake',
    ['i-a', 'i-b', 'i-c'].flatMap((id) => (['start', 'sleep'] as const).map((op) => [op, id] as const)),
  ],
];

test('a start beside a change of its pool boots the image and the resources of the same pool', async () => {
  let state = await harness.begin();
  let failed = true;
  const settings = { hasImage: false, vcpus: 2, memMib: 192, diskMib: 0, compression: 'none' } as const;
  const change: ModelOperation = { op: 'ensure-pool', tenant: at.tenant, pool: at.pool, settings };
  const starts = ['i-a', 'i-b'].map((id): ModelOperation => ({ ...operation('start'), at: { ...at, id } }));
  try {
    const drawn = [change, ...starts].map(
      (drawnOperation) => ({ kind: 'given', operation: drawnOperation }) as const,
    );
    state = await runBatch({ ...ALONE, drawn, late: [], rush: null }, state, harness);
    await harness.assertConsistent(state);
    failed = false;
  } finally {
    await harness.end(failed);
  }
});

test.each(RUSHES)(
  'of many that want the last at once (%s), as many get it as there is',
  async (rush, before) => {
    let state = await harness.begin();
    let failed = true;
    try {
      for (const [op, id] of before) {
        const wanted: ModelOperation = { op, at: { ...at, id }, flag: true };
        expect(await harness.request(wanted)).toBe('ok');
        ({ state } = apply(state, wanted));
      }
      const late = [{ call: 'launch', ms: 60 }] as const;
      state = await runBatch({ ...ALONE, late, rush }, state, harness);
      await harness.assertConsistent(state);
      failed = false;
    } finally {
      await harness.end(failed);
    }
  },
);
