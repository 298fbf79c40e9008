import type { InstanceView } from '@mvm/protocol';
import { type PoolInput, sinceMs } from './inventory.js';
import type { PlanDraft } from './plan-draft.js';
import { readyAt } from './readiness.js';

/** What is to become of the instances that run beyond the wanted count; together as many as there are. */
export interface ScaleDown {
  readonly toStop: number;
  readonly toSleep: number;
  readonly toWarm: number;
}

/**
 * Stop, pause or put to sleep what runs beyond the wanted count, the one that runs the shortest first. Nothing leaves
 * running before it ran `min_running_seconds`, or while an operation on it is under way, or while fewer than are wanted
 * would run without it because the start of another is still under way; nothing is paused or put to sleep before its
 * guest is ready; nothing is stopped when the pool is pinned or critical. What has to wait is reported.
 *
 * Only stops look for another instance when the newest has to wait: were an older one paused in its place, the pool would
 * for a while have fewer that are ready than it wants.
 */
export function planScaleDown(
  draft: PlanDraft,
  input: PoolInput,
  running: readonly InstanceView[],
  use: ScaleDown,
): void {
  const newestFirst = [...running].sort(byNewest);
  const coming = newestFirst.filter(({ operation }) => operation !== null);
  const exits: Exits = {
    left: Math.max(0, running.length - coming.length - input.pool.desired_counts.running),
    coming,
  };
  const reserved = stopExcess(draft, input, newestFirst, use.toStop, exits);
  const standby = newestFirst
    .filter((view) => !reserved.includes(view))
    .slice(0, use.toSleep + use.toWarm)
    .map((view) => ({ view, readyAtMs: readyAt(view, input.connectedAgents, draft.context) }))
    // The first that is ready is put to sleep.
    .sort((a, b) => a.readyAtMs - b.readyAtMs);
  for (const [index, { view, readyAtMs }] of standby.entries()) {
    suspend(draft, input, view, { readyAtMs, kind: index < use.toSleep ? 'sleep' : 'warm', exits });
  }
}

/** How many more of the instances that run now may leave it. */
interface Exits {
  left: number;
  /** Those whose start, wake or resume is under way: they do not run yet, and may fail to. */
  readonly coming: readonly InstanceView[];
}

/** Propose stops; those that are to be stopped now or later, so that nothing else is done to them. */
function stopExcess(
  draft: PlanDraft,
  input: PoolInput,
  newestFirst: readonly InstanceView[],
  excess: number,
  exits: Exits,
): readonly InstanceView[] {
  if (excess === 0) return [];
  const { tenantId, pool, protection, urgency } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  const { graceful_shutdown_seconds } = pool.runtime_policy;
  const has = `${tenantId}/${pool.pool_id} wants ${pool.desired_counts.running} running and has ${newestFirst.length}`;
  if (protection !== null) {
    reportProtected(draft, input, protection, has);
    return newestFirst.slice(0, excess);
  }
  const stoppable = newestFirst.filter(
    (view) => view.operation === null && mayLeaveAt(view, input) <= draft.context.nowMs,
  );
  const victims = stoppable.slice(0, Math.min(excess, exits.left));
  exits.left -= victims.length;
  for (const [turn, view] of victims.entries()) {
    const last =
      view === newestFirst[turn] ? 'the one that was started last' : 'the newest that may be stopped';
    const reason = `${has}: stop ${last}`;
    draft.propose(
      { kind: 'stop', ...subject, instance_id: view.instance_id, graceful_shutdown_seconds, reason },
      { urgency, turn },
    );
  }
  const deferred = newestFirst.filter((view) => !victims.includes(view)).slice(0, excess - victims.length);
  for (const view of deferred) reportNotYet(draft, input, view, `${has}; to be stopped`, exits);
  return [...victims, ...deferred];
}

function suspend(
  draft: PlanDraft,
  input: PoolInput,
  view: InstanceView,
  {
    readyAtMs,
    kind,
    exits,
  }: { readonly readyAtMs: number; readonly kind: 'sleep' | 'warm'; readonly exits: Exits },
): void {
  const { tenantId, pool, urgency } = input;
  const { nowMs } = draft.context;
  const counts = pool.desired_counts;
  const wanted = kind === 'sleep' ? `${counts.sleeping} sleeping` : `${counts.warm} warm`;
  const why = `${tenantId}/${pool.pool_id} wants ${counts.running} running and ${wanted}`;
  const what = kind === 'sleep' ? 'put to sleep' : 'paused';
  if (view.operation !== null || mayLeaveAt(view, input) > nowMs || exits.left === 0) {
    reportNotYet(draft, input, view, `${why}; to be ${what}`, exits);
    return;
  }
  if (readyAtMs > nowMs) {
    const message = `${why}; to be ${what} once its guest has booted: its agent is there, or it ran ${draft.context.bootGraceMs / 1000} s`;
    draft.report('waiting', view, {
      reason: 'instance.booting',
      message,
      untilMs: Math.min(readyAtMs, nowMs + LOOK_AGAIN_MS),
    });
    return;
  }
  exits.left -= 1;
  const { instance_id } = view;
  const address = { tenant_id: tenantId, pool_id: pool.pool_id, instance_id };
  const { drain_timeout_seconds } = pool.runtime_policy;
  draft.propose(
    kind === 'sleep'
      ? { kind, ...address, drain_timeout_seconds, reason: `${why}: put this one to sleep` }
      : { kind, ...address, reason: `${why}: pause this one` },
    { urgency },
  );
}

/** How soon a guest that boots is looked at again. */
const LOOK_AGAIN_MS = 1000;

/** When it has run as long as the pool says that it must, milliseconds since 1970. */
function mayLeaveAt(view: InstanceView, { pool }: PoolInput): number {
  return sinceMs(view) + pool.runtime_policy.min_running_seconds * 1000;
}

function reportNotYet(
  draft: PlanDraft,
  input: PoolInput,
  view: InstanceView,
  what: string,
  { coming }: Exits,
): void {
  if (view.operation !== null) {
    const message = `${what} once its ${view.operation} has ended`;
    draft.report('waiting', view, { reason: 'instance.busy', message });
    return;
  }
  const other = coming[0];
  if (mayLeaveAt(view, input) <= draft.context.nowMs && other !== undefined) {
    const message = `${what} once the ${other.operation} of ${other.instance_id} has ended`;
    draft.report('waiting', view, { reason: 'instance.busy', message });
    return;
  }
  const seconds = input.pool.runtime_policy.min_running_seconds;
  const message = `${what} once it ran the pool's min_running_seconds, ${seconds} s`;
  draft.report('waiting', view, {
    reason: 'instance.min_running',
    message,
    untilMs: mayLeaveAt(view, input),
  });
}

/** Report that nothing of a pool is stopped. */
export function reportProtected(
  draft: PlanDraft,
  { tenantId, pool }: Pick<PoolInput, 'tenantId' | 'pool'>,
  protection: 'pinned' | 'critical',
  has: string,
): void {
  draft.report(
    'protected',
    { tenant_id: tenantId, pool_id: pool.pool_id },
    { reason: `pool.${protection}`, message: `${has}, but it is ${protection}: nothing is stopped` },
  );
}

function byNewest(a: InstanceView, b: InstanceView): number {
  return (
    sinceMs(b) - sinceMs(a) ||
    (b.created_at ?? '').localeCompare(a.created_at ?? '') ||
    b.instance_id.localeCompare(a.instance_id)
  );
}
