import { callVersionOne } from '@mvm/testkit';
import fc from 'fast-check';
import { expect } from 'vitest';
import { recordedPart } from './agree.js';
import { askOf, askText, IDS, nthInstance, requestOf, type Wish, wish } from './asks.js';
import { explain, type Happening } from './explain.js';
import { onlyMatch, type Rig } from './rig.js';
import { type Answer, type Ask, type At, apply, instancesOf, isLive, type State } from './state.js';

/** `teardown`: every start and wake, beside the taking down of the networks, where nothing runs. */
export type Rush = 'start' | 'wake' | 'warm' | 'create' | 'teardown';

/** Requests that are sent at the same moment, and what else happens meanwhile. */
export interface Batch {
  readonly wishes: readonly Wish[];
  /** Ask about one instance only, as often as wishes fit. */
  readonly onOne: number | null;
  /** Instead of the wishes: this of every instance that it fits, so that the last of a quota is wanted by many. */
  readonly rush: Rush | null;
  /** Which of them a version 1 client sends, which shuts its half of the connection at once. */
  readonly versionOne: readonly boolean[];
  /** Calls of the VMM that take their time, in ms. */
  readonly late: readonly {
    readonly call: 'launch' | 'restore' | 'save' | 'pause' | 'resume';
    readonly ms: number;
  }[];
  readonly meanwhile: 'nothing' | 'vm-dies' | 'hostd-killed';
  /** Which VM dies; after how many steps hostd is killed. */
  readonly when: number;
}

/** Which of two that fit neither beside the other comes first is decided within a millisecond: it is tried often. */
const TEARDOWNS = Array.from({ length: 4 }, () => 'teardown' as const);

export const batch: fc.Arbitrary<Batch> = fc.record({
  wishes: fc.array(wish, { minLength: 2, maxLength: 5, size: 'max' }),
  onOne: fc.option(fc.nat(5), { freq: 2 }),
  rush: fc.oneof(
    { weight: 3, arbitrary: fc.constant(null) },
    {
      weight: 2,
      arbitrary: fc.constantFrom('start', 'start', 'start', 'wake', 'warm', 'create', ...TEARDOWNS),
    },
  ),
  versionOne: fc.array(fc.constantFrom(false, false, true), { minLength: 5, maxLength: 5 }),
  late: fc.array(
    fc.record({
      call: fc.constantFrom('launch', 'restore', 'save', 'pause', 'resume'),
      ms: fc.constantFrom(5, 20, 60),
    }),
    { maxLength: 2 },
  ),
  meanwhile: fc.constantFrom(
    ...([
      'nothing',
      'nothing',
      'nothing',
      'nothing',
      'nothing',
      'vm-dies',
      'vm-dies',
      'hostd-killed',
    ] as const),
  ),
  when: fc.integer({ min: 1, max: 20 }),
});

const VERSION_ONE = new Set(['start', 'stop', 'sleep', 'wake', 'destroy', 'setup', 'teardown']);

/** More orders than of so many are too many to try. */
const MAX_RUSH = 6;

function rushOf(rush: Rush, state: State): Ask[] {
  const asks = Object.entries(state).flatMap(([tenant, { netId, pools }]): Ask[] => {
    const network: Ask[] = rush === 'teardown' ? [{ op: 'teardown', tenant, netId }] : [];
    const ops = rush === 'teardown' ? (['start', 'wake'] as const) : [rush];
    const instances = Object.entries(pools).flatMap(([pool, { instances }]) =>
      (rush === 'create' ? IDS : Object.keys(instances)).flatMap((id): Ask[] => {
        const at = { tenant, pool, id };
        return ops.map((op) => (op === 'create' ? { op, at } : { op, at, flag: false }));
      }),
    );
    return [...network, ...instances];
  });
  return asks.filter((ask) => apply(state, ask).answer === 'ok').slice(0, MAX_RUSH);
}

/** The requests of a batch in a state, in no order. */
function asksOf({ wishes, onOne, rush }: Batch, state: State): Ask[] {
  if (rush !== null) return rushOf(rush, state);
  const one = onOne === null ? null : nthInstance(state, onOne);
  return wishes.flatMap((made) => {
    const ask = askOf(made, state);
    if (ask === null) return [];
    return 'at' in ask && one !== null && ask.op !== 'create' ? [{ ...ask, at: one }] : [ask];
  });
}

/** The body of a version 1 request: a tagged object, of the same fields. */
function versionOneBody(ask: Ask): unknown {
  const { type, ...fields } = requestOf(ask);
  return { [type]: fields };
}

async function askVersionOne(rig: Rig, ask: Ask): Promise<Answer | 'unheard'> {
  rig.counts.requests += 1;
  try {
    const answer = await callVersionOne(rig.host.config.socket, versionOneBody(ask), 60_000);
    return answer === 'Ok' ? 'ok' : 'refused';
  } catch {
    return 'unheard';
  }
}

/** Stops what runs and sets networks up that are down, one after the other, so that taking them down fits. */
async function calm(state: State, rig: Rig): Promise<State> {
  let now = state;
  const networks = Object.entries(state).flatMap(([tenant, { netId, networkUp }]): Ask[] =>
    networkUp ? [] : [{ op: 'setup', tenant, netId }],
  );
  const stops = instancesOf(state).flatMap(({ at, instance }): Ask[] =>
    isLive(instance) ? [{ op: 'stop', at, flag: true }] : [],
  );
  for (const ask of [...networks, ...stops]) {
    expect(await rig.ask(ask), askText(ask)).toBe('ok');
    now = apply(now, ask).state;
  }
  return now;
}

/**
 * Sends a batch, waits until nothing is under way, and finds the order that explains the answers and the records.
 * Resolves to the state that it ended in. Throws when there is no such order.
 */
export async function runBatch(made: Batch, before: State, rig: Rig): Promise<State> {
  const { host } = rig;
  const state = made.rush === 'teardown' ? await calm(before, rig) : before;
  const asks = asksOf(made, state);
  if (asks.length === 0) return state;
  for (const { call, ms } of made.late) await host.arm(call, ms);
  const victim = made.meanwhile === 'vm-dies' ? nthInstance(state, made.when) : null;
  const struck = made.meanwhile === 'hostd-killed' ? host.nextStep(made.when) : null;
  const answering = asks.map((ask, index) =>
    made.versionOne[index] === true && VERSION_ONE.has(ask.op) ? askVersionOne(rig, ask) : rig.ask(ask),
  );
  if (victim !== null) {
    await Promise.race([host.nextStep(made.when), ...answering]);
    await rig.killVm(state, victim);
  }
  if (struck !== null) {
    await Promise.race([struck, Promise.all(answering)]);
    await host.kill();
  }
  const answers = await Promise.all(answering);
  if (struck !== null) await host.start();
  else await host.disarm();
  if (victim !== null) await rig.untilSettled();
  const happenings: Happening[] = asks.map((ask, index) => ({ ask, answer: heard(answers[index]) }));
  if (victim !== null) happenings.push({ died: victim });
  const what = describeBatch(asks, answers, made, victim);
  const possible = explain(state, happenings, recordedPart);
  if (possible.length === 0)
    throw new Error(`no order of these explains the answers:\n${what}\nfrom\n${recordedPart(state)}`);
  return onlyMatch(possible, rig.recorded(), what);
}

function heard(answer: Answer | 'unheard' | undefined): Answer | null {
  return answer === undefined || answer === 'unheard' ? null : answer;
}

function describeBatch(
  asks: readonly Ask[],
  answers: readonly string[],
  { meanwhile, when }: Batch,
  victim: At | null,
): string {
  const lines = asks.map((ask, index) => `  ${askText(ask)} → ${answers[index]}`);
  if (victim !== null) lines.push(`  the VM of ${victim.tenant}/${victim.pool}/${victim.id} dies`);
  if (meanwhile === 'hostd-killed') lines.push(`  hostd is killed at step ${when}`);
  return lines.join('\n');
}
