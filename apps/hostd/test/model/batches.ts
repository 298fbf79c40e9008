import { callVersionOne } from '@mvm/testkit';
import fc from 'fast-check';
import { expect } from 'vitest';
import { recordedPart } from './assert-consistent.js';
import { explain, type ModelEvent } from './explain.js';
import { type Harness, onlyMatch } from './harness.js';
import {
  type DrawnOperation,
  drawnOperation,
  IDS,
  nthInstance,
  operationOf,
  operationText,
  requestOf,
} from './requests.js';
import {
  type Answer,
  type At,
  apply,
  instancesOf,
  isLive,
  type ModelOperation,
  type State,
} from './state.js';

/** `teardown`: every start and wake, beside the taking down of the networks, where nothing runs. */
export type Rush = 'start' | 'wake' | 'warm' | 'create' | 'teardown';

/** Requests that are sent at the same moment, and what else happens meanwhile. */
export interface Batch {
  readonly drawn: readonly DrawnOperation[];
  /** ModelOperation about one instance only, as often as drawn fit. */
  readonly onOne: number | null;
  /** Instead of the drawn: this of every instance that it fits, so that the last of a quota is wanted by many. */
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
  drawn: fc.array(drawnOperation, { minLength: 2, maxLength: 5, size: 'max' }),
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

function rushOf(rush: Rush, state: State): ModelOperation[] {
  const operations = Object.entries(state).flatMap(([tenant, { netId, pools }]): ModelOperation[] => {
    const network: ModelOperation[] = rush === 'teardown' ? [{ op: 'teardown', tenant, netId }] : [];
    const ops = rush === 'teardown' ? (['start', 'wake'] as const) : [rush];
    const instances = Object.entries(pools).flatMap(([pool, { instances }]) =>
      (rush === 'create' ? IDS : Object.keys(instances)).flatMap((id): ModelOperation[] => {
        const at = { tenant, pool, id };
        return ops.map((op) => (op === 'create' ? { op, at } : { op, at, flag: false }));
      }),
    );
    return [...network, ...instances];
  });
  return operations.filter((operation) => apply(state, operation).answer === 'ok').slice(0, MAX_RUSH);
}

/** The requests of a batch in a state, in no order. */
function operationsOf({ drawn, onOne, rush }: Batch, state: State): ModelOperation[] {
  if (rush !== null) return rushOf(rush, state);
  const one = onOne === null ? null : nthInstance(state, onOne);
  return drawn.flatMap((made) => {
    const operation = operationOf(made, state);
    if (operation === null) return [];
    return 'at' in operation && one !== null && operation.op !== 'create'
      ? [{ ...operation, at: one }]
      : [operation];
  });
}

/** The body of a version 1 request: a tagged object, of the same fields. */
function versionOneBody(operation: ModelOperation): unknown {
  const { type, ...fields } = requestOf(operation);
  return { [type]: fields };
}

async function requestVersionOne(harness: Harness, operation: ModelOperation): Promise<Answer | 'unheard'> {
  harness.counts.requests += 1;
  try {
    const answer = await callVersionOne(harness.host.config.socket, versionOneBody(operation), 60_000);
    return answer === 'Ok' ? 'ok' : 'refused';
  } catch {
    return 'unheard';
  }
}

/** Stops what runs and sets networks up that are down, one after the other, so that taking them down fits. */
async function calm(state: State, harness: Harness): Promise<State> {
  let now = state;
  const networks = Object.entries(state).flatMap(([tenant, { netId, networkUp }]): ModelOperation[] =>
    networkUp ? [] : [{ op: 'setup', tenant, netId }],
  );
  const stops = instancesOf(state).flatMap(({ at, instance }): ModelOperation[] =>
    isLive(instance) ? [{ op: 'stop', at, flag: true }] : [],
  );
  for (const operation of [...networks, ...stops]) {
    expect(await harness.request(operation), operationText(operation)).toBe('ok');
    now = apply(now, operation).state;
  }
  return now;
}

/**
 * Sends a batch, waits until nothing is under way, and finds the order that explains the answers and the records.
 * Resolves to the state that it ended in. Throws when there is no such order.
 */
export async function runBatch(made: Batch, before: State, harness: Harness): Promise<State> {
  const { host } = harness;
  const state = made.rush === 'teardown' ? await calm(before, harness) : before;
  const operations = operationsOf(made, state);
  if (operations.length === 0) return state;
  for (const { call, ms } of made.late) await host.arm(call, ms);
  const victim = made.meanwhile === 'vm-dies' ? nthInstance(state, made.when) : null;
  const struck = made.meanwhile === 'hostd-killed' ? host.nextStep(made.when) : null;
  const answering = operations.map((operation, index) =>
    made.versionOne[index] === true && VERSION_ONE.has(operation.op)
      ? requestVersionOne(harness, operation)
      : harness.request(operation),
  );
  if (victim !== null) {
    await Promise.race([host.nextStep(made.when), ...answering]);
    await harness.killVm(state, victim);
  }
  if (struck !== null) {
    await Promise.race([struck, Promise.all(answering)]);
    await host.kill();
  }
  const answers = await Promise.all(answering);
  if (struck !== null) await host.start();
  else await host.disarm();
  if (victim !== null) await harness.untilSettled();
  const events: ModelEvent[] = operations.map((operation, index) => ({
    operation,
    answer: heard(answers[index]),
  }));
  if (victim !== null) events.push({ died: victim });
  const what = describeBatch(operations, answers, made, victim);
  const possible = explain(state, events, recordedPart);
  if (possible.length === 0)
    throw new Error(`no order of these explains the answers:\n${what}\nfrom\n${recordedPart(state)}`);
  return onlyMatch(possible, harness.recorded(), what);
}

function heard(answer: Answer | 'unheard' | undefined): Answer | null {
  return answer === undefined || answer === 'unheard' ? null : answer;
}

function describeBatch(
  operations: readonly ModelOperation[],
  answers: readonly string[],
  { meanwhile, when }: Batch,
  victim: At | null,
): string {
  const lines = operations.map((operation, index) => `  ${operationText(operation)} → ${answers[index]}`);
  if (victim !== null) lines.push(`  the VM of ${victim.tenant}/${victim.pool}/${victim.id} dies`);
  if (meanwhile === 'hostd-killed') lines.push(`  hostd is killed at step ${when}`);
  return lines.join('\n');
}
