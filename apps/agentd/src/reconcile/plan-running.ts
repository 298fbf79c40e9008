import type { InstanceView } from '@mvm/protocol';
import { addressOf, type PoolInput, type PoolInventory } from './inventory.js';
import type { Obstacle, PlanDraft } from './plan-draft.js';
import type { QuotaRefusal } from './quota-reservations.js';
import { createMore, imageProblem, type Slots, startIdle } from './scale-up.js';

/**
 * Make `need` more instances run, by what takes the least time and loses the least: wake what sleeps, resume what is
 * warm, start what is there, try once more what could not be woken, create. Those beyond the wanted warm and sleeping
 * counts are taken before those within, because no other has to be made in their place; of each kind, those that would
 * be removed last.
 */
export function fillRunning(
  draft: PlanDraft,
  input: PoolInput,
  inventory: PoolInventory,
  need: number,
): void {
  const { tenantId, pool } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  const why = `${tenantId}/${pool.pool_id} wants ${pool.desired_counts.running} running and lacks ${need}`;
  const slots: Slots = { need, turn: 0, taken: 0 };
  const refused = wakeOrResume(draft, input, suspended(pool.desired_counts, inventory), slots, why);
  if (slots.turn < need) {
    const obstacle = refused ?? bootForRunning(draft, input, inventory, slots, why);
    if (obstacle !== null) draft.reportObstacle(subject, obstacle);
  }
}

function bootForRunning(
  draft: PlanDraft,
  input: PoolInput,
  inventory: PoolInventory,
  slots: Slots,
  why: string,
): Obstacle | null {
  return (
    imageProblem(input) ??
    startIdle(draft, input, inventory, slots, why) ??
    wakeOrResume(draft, input, inventory.failed, slots, `${why}, and its last wake failed`) ??
    createMore(draft, input, slots, why)
  );
}

/** Everything that has its memory, in the order in which it is made to run. */
function suspended(
  wanted: PoolInput['pool']['desired_counts'],
  { warm, sleeping }: PoolInventory,
): readonly InstanceView[] {
  // What would be removed last comes first.
  const sleepers = sleeping.toReversed();
  const paused = warm.toReversed();
  const excessSleepers = Math.max(0, sleepers.length - wanted.sleeping);
  const excessPaused = Math.max(0, paused.length - wanted.warm);
  return [
    ...sleepers.slice(0, excessSleepers),
    ...paused.slice(0, excessPaused),
    ...sleepers.slice(excessSleepers),
    ...paused.slice(excessPaused),
  ];
}

/** What a quota refused, when that left a slot open; null when none did. A resume needs no quota: warm ones count. */
function wakeOrResume(
  draft: PlanDraft,
  { reservations, urgency }: PoolInput,
  candidates: readonly InstanceView[],
  slots: Slots,
  why: string,
): QuotaRefusal | null {
  let refused: QuotaRefusal | null = null;
  for (const view of candidates) {
    if (slots.turn >= slots.need) return null;
    const kind = view.status === 'sleeping' ? 'wake' : 'resume';
    const { tenant_id, pool_id, instance_id } = view;
    const action = { kind, tenant_id, pool_id, instance_id, reason: `${why}: ${kind} it` } as const;
    if (view.operation !== null) {
      slots.taken += 1;
      const message = `to be made to run once its ${view.operation} has ended`;
      draft.report('waiting', view, { reason: 'instance.busy', message });
      continue;
    }
    const failure = draft.waitingFailure(kind, addressOf(view));
    if (failure !== null) {
      // One that cannot be woken is no reason to wait for it.
      if (view.stop_reason?.kind !== 'wake_failed') slots.taken += 1;
      draft.reportFailure(action, failure);
      continue;
    }
    if (kind === 'wake') {
      refused ??= reservations.start(view.resources);
      if (refused !== null) continue;
    }
    draft.propose(action, { urgency, turn: slots.turn });
    slots.turn += 1;
  }
  return slots.turn < slots.need ? refused : null;
}
