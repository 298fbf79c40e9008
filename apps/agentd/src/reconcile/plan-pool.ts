import type { Hold } from '@mvm/agentd-api';
import type { DesiredPool, ImageView, InstanceView } from '@mvm/protocol';
import type { PlanDraft } from './plan-draft.js';
import { planSurplus } from './plan-surplus.js';
import type { QuotaLedger } from './quota-ledger.js';

/** One desired pool and everything that its instances' plan depends on. */
export interface PoolInput {
  readonly tenantId: string;
  readonly pool: DesiredPool;
  /** The pool's instances on the host; none is destroyed. */
  readonly instances: readonly InstanceView[];
  readonly images: readonly ImageView[];
  readonly holds: readonly Hold[];
  readonly ledger: QuotaLedger;
  /** Nothing may be stopped: `pinned` or `critical`, or null. */
  readonly protection: 'pinned' | 'critical' | null;
  readonly urgency: number;
}

/** Operations that end in a running instance. */
const STARTING: ReadonlySet<string> = new Set(['start', 'wake', 'resume']);
/** Operations after which an instance cannot be started. */
const LEAVING: ReadonlySet<string> = new Set(['destroy', 'sleep', 'warm']);

/** What a hold's instance went through, and what ends it early. */
const BY_HAND: Readonly<Record<Hold['kind'], { done: string; undo: string }>> = {
  manual_stop: { done: 'stopped', undo: 'start' },
  manual_sleep: { done: 'put to sleep', undo: 'wake' },
  manual_warm: { done: 'warmed', undo: 'resume' },
};

/** Whether an instance runs, or will when the operation under way has ended. */
export function willRun(view: InstanceView): boolean {
  return view.operation === null ? view.status === 'running' : STARTING.has(view.operation);
}

function isHeld(view: InstanceView, holds: readonly Hold[], nowMs: number): boolean {
  return holds.some(
    (hold) =>
      hold.instance_id === view.instance_id &&
      hold.pool_id === view.pool_id &&
      hold.tenant_id === view.tenant_id &&
      Date.parse(hold.until) > nowMs,
  );
}

/** `name` or `name@sha256:…` among the registered images; a sentence when it is missing or damaged, else null. */
function imageProblem(
  flakeRef: string,
  images: readonly ImageView[],
): { reason: string; message: string } | null {
  const [name, digest] = flakeRef.split('@', 2);
  const image = images.find(
    (entry) => entry.name === name && (digest === undefined || entry.digest === digest),
  );
  if (image === undefined) {
    const message = `the image ${flakeRef} is not registered on this host; register it with: mvm image add`;
    return { reason: 'image.not_found', message };
  }
  if (image.problem === '') return null;
  const message = `the image ${flakeRef} cannot be used: ${image.problem}; register it again with: mvm image add`;
  return { reason: 'image.damaged', message };
}

/**
 * Bring one pool to its running count: start what is there and not running, oldest first, then create; or stop what is
 * too much. A slot whose instance is held, or waits after failures, is not filled by a new instance.
 */
export function planPool(draft: PlanDraft, input: PoolInput): void {
  const { tenantId, pool, instances } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  const wanted = pool.desired_counts;
  const held = instances.filter((view) => !willRun(view) && isHeld(view, input.holds, draft.context.nowMs));
  draft.pools.push({ ...subject, wanted: { ...wanted }, held: held.length });
  reportHolds(draft, held, input.holds);
  reportUnsupported(draft, input, held);
  const running = instances.filter(willRun);
  const missing = wanted.running - running.length;
  if (missing < 0) planSurplus(draft, input, running);
  else if (missing > held.length) fill(draft, input, missing - held.length, held);
}

function fill(draft: PlanDraft, input: PoolInput, need: number, held: readonly InstanceView[]): void {
  const { tenantId, pool, instances, ledger, urgency } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  const image = imageProblem(pool.flake_ref, input.images);
  if (image !== null) {
    draft.report('blocked', subject, image);
    return;
  }
  const has = `${subject.tenant_id}/${subject.pool_id} wants ${count(pool)} running and lacks ${need}`;
  // Slots that stay empty for now, because what is to fill them is on its way or has to wait.
  let taken = 0;
  let turn = 0;
  const others = instances.filter((view) => !willRun(view) && !held.includes(view)).sort(oldestFirst);
  for (const view of others) {
    if (isComing(view)) taken += 1;
    if (view.operation !== null) continue;
    if (view.status !== 'ready' && view.status !== 'stopped') continue;
    const start = {
      kind: 'start',
      ...subject,
      instance_id: view.instance_id,
      reason: `${has}: start it`,
    } as const;
    const target = `${view.tenant_id}/${view.pool_id}/${view.instance_id}`;
    const failure = draft.waitingFailure('start', target);
    if (failure !== null) {
      taken += 1;
      draft.reportFailure(start, failure);
      continue;
    }
    if (turn === need) continue;
    const refusal = ledger.start(view.resources);
    if (refusal !== null) {
      draft.report('blocked', subject, refusal);
      return;
    }
    draft.propose(start, { urgency, turn });
    turn += 1;
  }
  if (taken > 0 && turn < need) reportComing(draft, others);
  for (let slot = turn + taken; slot < need; slot += 1) {
    // A new instance is made to run, so both are asked before it is made.
    const refusal =
      ledger.start(pool.instance_resources) ?? ledger.create(pool.pool_id, pool.instance_resources);
    if (refusal !== null) {
      draft.report('blocked', subject, refusal);
      return;
    }
    if (
      !draft.propose(
        { kind: 'create', ...subject, reason: `${has}: create one, then start it` },
        { urgency, turn },
      )
    )
      return;
    turn += 1;
  }
}

function count(pool: DesiredPool): number {
  return pool.desired_counts.running;
}

function oldestFirst(a: InstanceView, b: InstanceView): number {
  const byAge = (a.created_at ?? '').localeCompare(b.created_at ?? '');
  return byAge !== 0 ? byAge : a.instance_id.localeCompare(b.instance_id);
}

/** Whether an instance that cannot be started now will be in a moment, so that no other is made in its place. */
function isComing({ operation, status }: InstanceView): boolean {
  return operation === null ? status === 'created' : !LEAVING.has(operation);
}

function reportComing(draft: PlanDraft, others: readonly InstanceView[]): void {
  for (const view of others.filter(isComing)) {
    const ready = {
      reason: 'instance.not_ready',
      message: 'created, but its image has not been prepared yet',
    };
    const busy = { reason: 'instance.busy', message: `to be started once its ${view.operation} has ended` };
    draft.report('waiting', view, view.operation === null ? ready : busy);
  }
}

function reportHolds(draft: PlanDraft, held: readonly InstanceView[], holds: readonly Hold[]): void {
  for (const view of held) {
    const hold = holds.find(
      ({ instance_id, pool_id }) => instance_id === view.instance_id && pool_id === view.pool_id,
    );
    if (hold === undefined) continue;
    const { done, undo } = BY_HAND[hold.kind];
    draft.report('hold', view, {
      reason: `instance.${hold.kind}`,
      message: `${done} by hand: its slot is kept until then, or until: mvm instance ${undo}`,
      untilMs: Date.parse(hold.until),
    });
  }
}

/** Held ones are not counted: what somebody did by hand is no obstacle. */
function reportUnsupported(draft: PlanDraft, input: PoolInput, held: readonly InstanceView[]): void {
  const { tenantId, pool, instances } = input;
  for (const state of ['warm', 'sleeping'] as const) {
    const wanted = pool.desired_counts[state];
    const actual = instances.filter((view) => view.status === state && !held.includes(view)).length;
    if (wanted === actual) continue;
    draft.report(
      'unsupported',
      { tenant_id: tenantId, pool_id: pool.pool_id },
      {
        reason: `pool.${state}_unsupported`,
        message: `${wanted} ${state} instances are wanted and ${actual} are there; this version brings instances to running and stopped only`,
      },
    );
  }
}
