import {
  type Answer,
  type Ask,
  type At,
  apply,
  find,
  isLive,
  type Outcome,
  type State,
  withVmEnded,
} from './state.js';

/** Something that happened at the same time as others: a request with its answer, or the end of a VM. */
export type Happening =
  | { readonly ask: Ask /** Null: none arrived. */; readonly answer: Answer | null }
  | { readonly died: At };

const sameInstance = (a: At, b: At): boolean => a.tenant === b.tenant && a.pool === b.pool && a.id === b.id;

function onInstance(happening: Happening, at: At, ops: readonly string[]): boolean {
  return (
    'ask' in happening &&
    'at' in happening.ask &&
    ops.includes(happening.ask.op) &&
    sameInstance(happening.ask.at, at)
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

const tenantOf = (ask: Ask): string => ('at' in ask ? ask.at.tenant : ask.tenant);

/** Whether an operation that came to nothing, by a kill or a VM's end, may have held what this one was refused. */
function refusedForNothing(happening: Happening, batch: readonly Happening[]): boolean {
  if (!('ask' in happening) || happening.answer === null) return false;
  if (happening.answer !== 'refused' && !CLAIMED.includes(happening.answer)) return false;
  const { ask } = happening;
  const aVmDied = batch.some((other) => 'died' in other);
  return batch.some(
    (other) =>
      other !== happening &&
      'ask' in other &&
      tenantOf(other.ask) === tenantOf(ask) &&
      ['start', 'wake', 'warm', 'teardown', 'remove-tenant'].includes(other.ask.op) &&
      (other.answer === null || / vmm\./.test(other.answer) || (other.answer === 'refused' && aVmDied)),
  );
}

/** Every way in which a happening may have taken effect at this point, among the others of its batch. */
function outcomes(state: State, happening: Happening, batch: readonly Happening[]): State[] {
  if ('died' in happening) {
    const ended = withVmEnded(state, happening.died);
    // It may have been stopped, or replaced, before the signal came.
    return ended === state ? [state] : [ended, state];
  }
  const { ask, answer } = happening;
  const possible: Outcome[] = [apply(state, ask)];
  if (answer === null) possible.push({ answer: 'ok', state });
  if (answer !== null && refusedForNothing(happening, batch)) possible.push({ answer, state });
  if ('at' in ask) {
    const instance = find(state, ask.at);
    const overtakers = ['stop', 'destroy', 'wake'];
    if (
      ask.op === 'sleep' &&
      instance !== undefined &&
      isLive(instance) &&
      batch.some((other) => onInstance(other, ask.at, overtakers))
    ) {
      possible.push({ answer: 'aborted instance.sleep_overtaken', state });
    }
    // A wake that overtakes a sleep has what it wants.
    if (
      ask.op === 'wake' &&
      instance?.status === 'running' &&
      batch.some((other) => onInstance(other, ask.at, ['sleep']))
    ) {
      possible.push({ answer: 'ok', state });
    }
    // An operation on a VM that dies meanwhile fails in its own way, and the end of the VM says what became of it.
    const dies = batch.some((other) => 'died' in other && sameInstance(other.died, ask.at));
    if (dies && answer !== null && answer !== 'ok') possible.push({ answer, state });
    // hostd was killed when the instance was prepared, and nothing further.
    if (
      answer === null &&
      ask.op === 'start' &&
      instance?.status === 'created' &&
      apply(state, ask).answer === 'ok'
    ) {
      possible.push({ answer: 'ok', state: withStatus(state, ask.at, 'ready') });
    }
  }
  if (answer === null && ask.op === 'ensure-pool') {
    const after = apply(state, ask).state;
    // hostd was killed before the pool's waiting instances were prepared, or when some were.
    possible.push({ answer: 'ok', state: withoutPreparation(state, after, ask.tenant, ask.pool) });
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
 * The states in which a batch of happenings may have ended, given what was answered: every order is tried. Empty when no
 * order explains the answers.
 */
export function explain(state: State, batch: readonly Happening[], key: (state: State) => string): State[] {
  const ends = new Map<string, State>();
  const seen = new Set<string>();
  const walk = (now: State, left: readonly number[]): void => {
    const position = `${left.join(',')} ${key(now)}`;
    if (seen.has(position)) return;
    seen.add(position);
    if (left.length === 0) ends.set(key(now), now);
    for (const index of left) {
      const rest = left.filter((other) => other !== index);
      for (const next of outcomes(now, batch[index] as Happening, batch)) walk(next, rest);
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
