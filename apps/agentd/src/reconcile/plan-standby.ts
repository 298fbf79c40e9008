import type { InstanceView } from '@mvm/protocol';
import { type PoolInput, type PoolInventory, sinceMs } from './inventory.js';
import type { Obstacle, PlanDraft } from './plan-draft.js';
import { planScaleDown, reportProtected } from './scale-down.js';
import { createMore, imageProblem, type Slots, startIdle } from './scale-up.js';

/**
 * Bring a pool, of which as many run as are wanted, to its warm and sleeping counts.
 *
 * An instance becomes warm or asleep only out of the running ones, and only out of those beyond the wanted running
 * count: where there is none to spare, one more is booted, and paused or put to sleep once it is ready. What is too much
 * is used where something lacks (a warm one goes to sleep, a sleeping one is woken to become warm), and is stopped
 * otherwise: the oldest snapshot is discarded first. Slots of what an operator holds stay empty.
 */
export function planStandby(
  draft: PlanDraft,
  input: PoolInput,
  inventory: PoolInventory,
  held: number,
): void {
  const { pool, reservations } = input;
  const wanted = pool.desired_counts;
  const { warm, sleeping, running } = inventory;
  let excessWarm = Math.max(0, warm.length - wanted.warm);
  let excessSleeping = Math.max(0, sleeping.length - wanted.sleeping);
  let lackSleeping = Math.max(0, wanted.sleeping - sleeping.length);
  let lackWarm = Math.max(0, wanted.warm - warm.length);
  const kept = Math.min(held, lackSleeping);
  lackSleeping -= kept;
  const allowed = allowWarm(draft, input, lackWarm - Math.min(held - kept, lackWarm), reservations);
  lackWarm = allowed.now;

  // A sleeping one gives its memory back, so it comes first: where quotas are tight, both are reached only in this order.
  const fromWarm = Math.min(excessWarm, lackSleeping);
  excessWarm -= fromWarm;
  lackSleeping -= fromWarm;
  sleepWarm(draft, input, warm.slice(0, fromWarm));

  let extra = Math.max(0, running.length - wanted.running);
  const toSleep = Math.min(extra, lackSleeping);
  extra -= toSleep;
  const toWarm = Math.min(extra, lackWarm);
  extra -= toWarm;
  // What becomes warm once the quota has room again is not stopped meanwhile.
  const toStop = Math.max(0, extra - allowed.later);
  planScaleDown(draft, input, running, { toStop, toSleep, toWarm });
  lackSleeping -= toSleep;
  lackWarm -= toWarm;

  const toWake = Math.min(excessSleeping, lackWarm);
  excessSleeping -= toWake;
  lackWarm -= toWake;
  // What is removed last is woken first.
  wakeToWarm(draft, input, sleeping.slice(sleeping.length - toWake).toReversed());
  discard(draft, input, sleeping.slice(0, excessSleeping), 'sleeping');
  discard(draft, input, warm.slice(fromWarm, fromWarm + excessWarm), 'warm');
  bootSpares(draft, input, inventory, { lackSleeping, lackWarm });
}

function describe({ tenantId, pool }: PoolInput): string {
  return `${tenantId}/${pool.pool_id}`;
}

/** How many more may become warm by the tenant's quota, now and once operations have ended; a refusal is reported. */
function allowWarm(
  draft: PlanDraft,
  input: PoolInput,
  lacking: number,
  reservations: PoolInput['reservations'],
): { readonly now: number; readonly later: number } {
  for (let allowed = 0; allowed < lacking; allowed += 1) {
    const refusal = reservations.warm();
    if (refusal === null) continue;
    draft.reportObstacle({ tenant_id: input.tenantId, pool_id: input.pool.pool_id }, refusal);
    return { now: allowed, later: refusal.passing ? lacking - allowed : 0 };
  }
  return { now: lacking, later: 0 };
}

/** One that is warm beyond its count, and lacks among the sleeping. */
function sleepWarm(draft: PlanDraft, input: PoolInput, views: readonly InstanceView[]): void {
  const { pool, urgency } = input;
  const { warm, sleeping } = pool.desired_counts;
  const why = `${describe(input)} wants ${warm} warm and ${sleeping} sleeping, and this one is warm beyond that`;
  const drain_timeout_seconds = pool.runtime_policy.drain_timeout_seconds;
  for (const view of views) {
    if (mustStayWarm(draft, input, view, `${why}; to be put to sleep`)) continue;
    const { tenant_id, pool_id, instance_id } = view;
    const address = { tenant_id, pool_id, instance_id };
    draft.propose(
      { kind: 'sleep', ...address, drain_timeout_seconds, reason: `${why}: put it to sleep` },
      { urgency },
    );
  }
}

/** One that sleeps beyond its count, and lacks among the warm: it runs first, and is paused in a later pass. */
function wakeToWarm(draft: PlanDraft, input: PoolInput, views: readonly InstanceView[]): void {
  const { pool, reservations, urgency } = input;
  const { warm, sleeping } = pool.desired_counts;
  const why = `${describe(input)} wants ${warm} warm and ${sleeping} sleeping, and this one sleeps beyond that`;
  for (const view of views) {
    if (isBusy(draft, view, `${why}; to be woken`)) continue;
    const refusal = reservations.start(view.resources);
    if (refusal !== null) {
      draft.reportObstacle(view, refusal);
      return;
    }
    const { tenant_id, pool_id, instance_id } = view;
    const address = { tenant_id, pool_id, instance_id };
    draft.propose({ kind: 'wake', ...address, reason: `${why}: wake it, then pause it` }, { urgency });
  }
}

/** Stop what is warm or asleep beyond its count, unless the pool is pinned or critical. */
function discard(
  draft: PlanDraft,
  input: PoolInput,
  views: readonly InstanceView[],
  state: 'warm' | 'sleeping',
): void {
  const { pool, protection, urgency } = input;
  const counts = `${describe(input)} wants ${pool.desired_counts[state]} ${state}`;
  if (views.length > 0 && protection !== null) {
    reportProtected(draft, input, protection, `${counts} and has ${views.length} more`);
    return;
  }
  const what = state === 'sleeping' ? 'its snapshot is discarded' : 'its memory is given up';
  for (const [turn, view] of views.entries()) {
    const why = `${counts}, and this one is too much`;
    if (state === 'warm' && mustStayWarm(draft, input, view, `${why}; to be stopped`)) continue;
    if (isBusy(draft, view, `${why}; to be stopped`)) continue;
    const { tenant_id, pool_id, instance_id } = view;
    const address = { tenant_id, pool_id, instance_id };
    // Its guest does not run, and cannot shut down.
    draft.propose(
      { kind: 'stop', ...address, graceful_shutdown_seconds: 0, reason: `${why}: stop it, ${what}` },
      { urgency, turn },
    );
  }
}

/** One more instance for each that lacks. Not while others are on their way: it must be the one that is paused later. */
function bootSpares(
  draft: PlanDraft,
  input: PoolInput,
  inventory: PoolInventory,
  { lackSleeping, lackWarm }: { lackSleeping: number; lackWarm: number },
): void {
  const need = lackSleeping + lackWarm;
  if (need === 0) return;
  const subject = { tenant_id: input.tenantId, pool_id: input.pool.pool_id };
  const missing = [
    ...(lackWarm > 0 ? [`${lackWarm} warm`] : []),
    ...(lackSleeping > 0 ? [`${lackSleeping} sleeping`] : []),
  ].join(' and ');
  const why = `${describe(input)} lacks ${missing}, and they have to boot first`;
  const onTheWay = inventory.running.find(({ operation }) => operation !== null);
  if (onTheWay !== undefined) {
    isBusy(draft, onTheWay, `${why}; to be booted`);
    return;
  }
  const slots: Slots = { need, turn: 0, taken: 0 };
  const obstacle: Obstacle | null =
    imageProblem(input) ??
    startIdle(draft, input, inventory, slots, why) ??
    createMore(draft, input, slots, why);
  if (obstacle !== null)
    draft.reportObstacle(subject, { ...obstacle, message: `${why}: ${obstacle.message}` });
}

function isBusy(draft: PlanDraft, view: InstanceView, what: string): boolean {
  if (view.operation === null) return false;
  draft.report('waiting', view, {
    reason: 'instance.busy',
    message: `${what} once the ${view.operation} of ${view.instance_id} has ended`,
  });
  return true;
}

function mustStayWarm(draft: PlanDraft, { pool }: PoolInput, view: InstanceView, what: string): boolean {
  if (isBusy(draft, view, what)) return true;
  const { min_warm_seconds: seconds } = pool.runtime_policy;
  const untilMs = sinceMs(view) + seconds * 1000;
  if (untilMs <= draft.context.nowMs) return false;
  const message = `${what} once it was warm the pool's min_warm_seconds, ${seconds} s`;
  draft.report('waiting', view, { reason: 'instance.min_warm', message, untilMs });
  return true;
}
