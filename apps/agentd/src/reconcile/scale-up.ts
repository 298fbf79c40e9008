import type { InstanceView } from '@mvm/protocol';
import { addressOf, imageOf, type PoolInput, type PoolInventory } from './inventory.js';
import type { Obstacle, PlanDraft } from './plan-draft.js';
import type { QuotaRefusal } from './quota-reservations.js';

/** Slots of a pool that are to be filled, as far as they still are. */
export interface Slots {
  /** How many instances are to be made to run. */
  readonly need: number;
  /** Already given an instance in this plan; the next action's place in line. */
  turn: number;
  /** Not to be filled with a new instance, because the one that is to fill it is on its way or has to wait. */
  taken: number;
}

/** A sentence in the way of booting from the pool's image: it is missing or damaged; else null. */
export function imageProblem(input: PoolInput): Obstacle | null {
  const { flake_ref } = input.pool;
  const image = imageOf(input);
  if (image === undefined) {
    const message = `the image ${flake_ref} is not registered on this host; register it with: mvm image add`;
    return { reason: 'image.not_found', message, passing: false };
  }
  if (image.problem === '') return null;
  const message = `the image ${flake_ref} cannot be used: ${image.problem}; register it again with: mvm image add`;
  return { reason: 'image.damaged', message, passing: false };
}

/**
 * Fill slots by booting: start what is there and does not run, oldest first. Resolves to what is in the way of filling
 * the rest, or null.
 */
export function startIdle(
  draft: PlanDraft,
  input: PoolInput,
  { idle }: Pick<PoolInventory, 'idle'>,
  slots: Slots,
  why: string,
): QuotaRefusal | null {
  const { tenantId, pool, reservations, urgency } = input;
  for (const view of idle) {
    if (isComing(view)) slots.taken += 1;
    if (view.operation !== null) continue;
    if (view.status !== 'ready' && view.status !== 'stopped') continue;
    const { instance_id } = view;
    const subject = { tenant_id: tenantId, pool_id: pool.pool_id, instance_id };
    const start = { kind: 'start', ...subject, reason: `${why}: start it` } as const;
    const failure = draft.waitingFailure('start', addressOf(view));
    if (failure !== null) {
      slots.taken += 1;
      draft.reportFailure(start, failure);
      continue;
    }
    if (slots.turn >= slots.need) continue;
    const refusal = reservations.start(view.resources);
    if (refusal !== null) return refusal;
    draft.propose(start, { urgency, turn: slots.turn });
    slots.turn += 1;
  }
  if (slots.taken > 0 && slots.turn < slots.need) reportComing(draft, idle);
  return null;
}

/** Fill the slots that are neither filled nor taken by new instances. What is in the way, or null. */
export function createMore(
  draft: PlanDraft,
  input: PoolInput,
  slots: Slots,
  why: string,
): QuotaRefusal | null {
  const { tenantId, pool, reservations, urgency } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  for (let slot = slots.turn + slots.taken; slot < slots.need; slot += 1) {
    // A new instance is made to run, so both are asked before it is made.
    const refusal =
      reservations.start(pool.instance_resources) ??
      reservations.create(pool.pool_id, pool.instance_resources);
    if (refusal !== null) return refusal;
    const create = { kind: 'create', ...subject, reason: `${why}: create one, then start it` } as const;
    if (!draft.propose(create, { urgency, turn: slots.turn })) return null;
    slots.turn += 1;
  }
  return null;
}

/** Whether an instance that cannot be started now will be in a moment, so that no other is made in its place. */
function isComing({ operation, status }: InstanceView): boolean {
  return operation === null ? status === 'created' : operation !== 'destroy';
}

function reportComing(draft: PlanDraft, idle: readonly InstanceView[]): void {
  for (const view of idle.filter(isComing)) {
    const ready = {
      reason: 'instance.not_ready',
      message: 'created, but its image has not been prepared yet',
    };
    const busy = { reason: 'instance.busy', message: `to be started once its ${view.operation} has ended` };
    draft.report('waiting', view, view.operation === null ? ready : busy);
  }
}
