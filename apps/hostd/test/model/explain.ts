import {
  type Answer,
  type At,
  apply,
  find,
  isLive,
  type ModelOperation,
  type Outcome,
  type State,
  withVmEnded,
} from './state.js';

/** Something that happened at the same time as others: a request with its answer, or the end of a VM. */
export type ModelEvent =
  | { readonly operation: ModelOperation /** Null: none arrived. */; readonly answer: Answer | null }
  | { readonly died: At };

const sameInstance = (a: At, b: At): boolean => a.tenant === b.tenant && a.pool === b.pool && a.id === b.id;

function onInstance(event: ModelEvent, at: At, ops: readonly string[]): boolean {
  return (
    'operation' in event &&
    'at' in event.operation &&
    ops.includes(event.operation.op) &&
    sameInstance(event.operation.at, at)
  );
}

/** An answer that names no reason (version 1) fits every refusal. */
function fits(heard: Answer | null, model: Answer): boolean {
  return heard === null || heard === model || (heard === 'refused' && model !== 'ok');
}

/** Refusals for the sake of what another operation has claimed. */
const CLAIMED = [
  'resource_exhausted quota.exceeded',
  'failed_precondition tenant.has_running_instances',
  'failed_precondition tenant.network_down',
];

const tenantOf = (operation: ModelOperation): string =>
  'at' in operation ? operation.at.tenant : operation.tenant;

/** Whether an operation that came to nothing, by a kill or a VM's end, may have held what this one was refused. */
function refusedForNothing(event: ModelEvent, batch: readonly ModelEvent[]): boolean {
  if (!('operation' in event) || event.answer === null) return false;
  if (event.answer !== 'refused' && !CLAIMED.includes(event.answer)) return false;
  const { operation } = event;
  const aVmDied = batch.some((other) => 'died' in other);
  return batch.some(
    (other) =>
      other !== event &&
      'operation' in other &&
      tenantOf(other.operation) === tenantOf(operation) &&
      ['start', 'wake', 'warm', 'teardown', 'remove-tenant'].includes(other.operation.op) &&
      (other.answer === null || / vmm\./.test(other.answer) || (other.answer === 'refused' && aVmDied)),
  );
}

/** Every way in which a event may have taken effect at this point, among the others of its batch. */
function outcomes(state: State, event: ModelEvent, batch: readonly ModelEvent[]): State[] {
  if ('died' in event) {
    const ended = withVmEnded(state, event.died);
    // It may have been stopped, or replaced, before the signal came.
    return ended === state ? [state] : [ended, state];
  }
  const { operation, answer } = event;
  const possible: Outcome[] = [apply(state, operation)];
  if (answer === null) possible.push({ answer: 'ok', state });
  if (answer !== null && refusedForNothing(event, batch)) possible.push({ answer, state });
  if ('at' in operation) {
    const instance = find(state, operation.at);
    const cancelers = ['stop', 'destroy', 'wake'];
    if (
      operation.op === 'sleep' &&
      instance !== undefined &&
      isLive(instance) &&
      batch.some((other) => onInstance(other, operation.at, cancelers))
    ) {
      possible.push({ answer: 'aborted instance.sleep_overtaken', state });
    }
    // A wake that cancels a sleep has what it wants.
    if (
      operation.op === 'wake' &&
      instance?.status === 'running' &&
      batch.some((other) => onInstance(other, operation.at, ['sleep']))
    ) {
      possible.push({ answer: 'ok', state });
    }
    // An operation on a VM that dies meanwhile fails in its own way, and the end of the VM says what became of it.
    const dies = batch.some((other) => 'died' in other && sameInstance(other.died, operation.at));
    if (dies && answer !== null && answer !== 'ok') possible.push({ answer, state });
    // hostd was killed when the instance was prepared, and nothing further.
    if (
      answer === null &&
      operation.op === 'start' &&
      instance?.status === 'created' &&
      apply(state, operation).answer === 'ok'
    ) {
      possible.push({ answer: 'ok', state: withStatus(state, operation.at, 'ready') });
    }
  }
  if (answer === null && operation.op === 'ensure-pool') {
    const after = apply(state, operation).state;
    // hostd was killed before the pool's waiting instances were prepared, or when some were.
    possible.push({
      answer: 'ok',
      state: withoutPreparation(state, after, operation.tenant, operation.pool),
    });
  }
  return possible.filter((one) => fits(answer, one.answer)).map((one) => one.state);
}

function withStatus(state: State, at: At, status: 'ready' | 'created'): State {
  const tenant = state[at.tenant];
  const pool = tenant?.pools[at.pool];
  const instance = pool?.instances[at.id];
  if (tenant === undefined || pool === undefined || instance === undefined) return state;
  const instances = { ...pool.instances, [at.id]: { ...instance, status } };
  return {
    ...state,
    [at.tenant]: { ...tenant, pools: { ...tenant.pools, [at.pool]: { ...pool, instances } } },
  };
}

function withoutPreparation(before: State, after: State, tenant: string, pool: string): State {
  let state = after;
  for (const [id, instance] of Object.entries(before[tenant]?.pools[pool]?.instances ?? {})) {
    if (instance.status === 'created') state = withStatus(state, { tenant, pool, id }, 'created');
  }
  return state;
}

/**
 * The states in which a batch of events may have ended, given what was answered: every order is tried. Empty when no
 * order explains the answers.
 */
export function explain(state: State, batch: readonly ModelEvent[], key: (state: State) => string): State[] {
  const ends = new Map<string, State>();
  const seen = new Set<string>();
  const walk = (now: State, left: readonly number[]): void => {
    const position = `${left.join(',')} ${key(now)}`;
    if (seen.has(position)) return;
    seen.add(position);
    if (left.length === 0) ends.set(key(now), now);
    for (const index of left) {
      const rest = left.filter((other) => other !== index);
      for (const next of outcomes(now, batch[index] as ModelEvent, batch)) walk(next, rest);
    }
  };
  walk(state, [...batch.keys()]);
  return [...ends.values()];
}

/** Whether a state holds a live instance. */
export const hasLive = (state: State, at: At): boolean => {
  const instance = find(state, at);
  return instance !== undefined && isLive(instance);
};
