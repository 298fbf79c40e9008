import type { Hold } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import { countsWithIdle } from './idle-counts.js';
import {
  holdOf,
  imageOf,
  isOutdated,
  type PoolInput,
  type PoolInventory,
  shortDigest,
  takeInventory,
} from './inventory.js';
import type { PlanDraft } from './plan-draft.js';
import { planIdle } from './plan-idle.js';
import { planLeftovers } from './plan-leftovers.js';
import { fillRunning } from './plan-running.js';
import { planStandby } from './plan-standby.js';
import { restartVerdict } from './restart.js';
import { imageProblem } from './scale-up.js';

/** What a hold's instance went through, and what ends it early. */
const BY_HAND: Readonly<Record<Hold['kind'], { done: string; undo: string }>> = {
  manual_stop: { done: 'stopped', undo: 'start' },
  manual_sleep: { done: 'put to sleep', undo: 'wake' },
  manual_warm: { done: 'warmed', undo: 'resume' },
  manual_run: { done: 'made to run', undo: 'stop' },
};

/**
 * Bring one pool to its counts: first as many running ones as are wanted, and only then the warm and the sleeping, so
 * that nothing is paused, booted or discarded while a running one is missing. A slot whose instance is held, or waits
 * after failures, is not filled by a new instance. Last, what is idle is paused or put to sleep where the pool says so.
 */
export function planPool(draft: PlanDraft, desired: PoolInput): void {
  const { tenantId, pool } = desired;
  const inventory = takeInventory(desired, draft.context);
  const wanted = countsWithIdle(pool, inventory);
  const input = { ...desired, pool: { ...pool, desired_counts: wanted } };
  // What an operator keeps running fills what is missing; the rest of it runs beside the wanted ones, and nothing else is
  // stopped for it.
  const open = Math.max(0, wanted.running - inventory.running.length);
  const beside = inventory.keptRunning.slice(open);
  const held = inventory.held.length + beside.length;
  // What has ended for good keeps its slot: another one in its place would end as well.
  const kept = held + inventory.ended.length;
  draft.pools.push({ tenant_id: tenantId, pool_id: pool.pool_id, wanted: { ...wanted }, held });
  reportHolds(draft, [...inventory.held, ...beside], input.holds);
  reportFailed(draft, inventory);
  reportEnded(draft, input, inventory);
  reportOutdated(draft, input, inventory);
  const missing = Math.max(0, open - inventory.keptRunning.length);
  if (missing > kept) fillRunning(draft, input, inventory, missing - kept);
  else planStandby(draft, input, inventory, kept - missing);
  planLeftovers(draft, input, inventory);
  planIdle(draft, desired, inventory);
  reportImage(draft, input);
  reportUnderWay(draft, input);
}

/** What runs needs no image now, but its next start does: that it cannot start again is a problem before it happens. */
function reportImage(draft: PlanDraft, input: PoolInput): void {
  const { running, warm, sleeping } = input.pool.desired_counts;
  const problem = imageProblem(input);
  if (problem === null || running + warm + sleeping === 0) return;
  const subject = { tenant_id: input.tenantId, pool_id: input.pool.pool_id };
  const known = draft.problems.some(
    ({ reason, tenant_id, pool_id }) =>
      reason === problem.reason && tenant_id === subject.tenant_id && pool_id === subject.pool_id,
  );
  if (!known) draft.reportObstacle(subject, problem);
}

/** Nothing is as it is wanted while an operation is under way: it may fail. Those that are reported already are left out. */
function reportUnderWay(draft: PlanDraft, { instances }: PoolInput): void {
  for (const view of instances) {
    if (view.operation === null) continue;
    const known = draft.problems.some(
      ({ kind, tenant_id, pool_id, instance_id }) =>
        kind === 'waiting' &&
        instance_id === view.instance_id &&
        pool_id === view.pool_id &&
        tenant_id === view.tenant_id,
    );
    const message = `its ${view.operation} is under way`;
    if (!known) draft.report('waiting', view, { reason: 'instance.busy', message });
  }
}

function reportHolds(draft: PlanDraft, held: readonly InstanceView[], holds: readonly Hold[]): void {
  for (const view of held) {
    const hold = holdOf(view, holds, draft.context.nowMs);
    if (hold === undefined) continue;
    const { done, undo } = BY_HAND[hold.kind];
    draft.report('hold', view, {
      reason: `instance.${hold.kind}`,
      message:
        hold.kind === 'manual_run'
          ? `${done} by an operator: it runs in addition to the wanted ones until then, or until: mvm instance ${undo}`
          : `${done} by an operator: its slot is kept until then, or until: mvm instance ${undo}`,
      untilMs: Date.parse(hold.until),
    });
  }
}

function reportFailed(draft: PlanDraft, { failed }: PoolInventory): void {
  for (const view of failed) {
    draft.report('failed', view, {
      reason: 'instance.wake_failed',
      message: `asleep, and cannot be woken: ${view.stop_reason?.message}. Others take its place; once the cause is removed: mvm instance wake; to give its memory up: mvm instance stop`,
    });
  }
}

function reportEnded(draft: PlanDraft, { pool }: PoolInput, { ended }: PoolInventory): void {
  for (const view of ended) {
    const verdict = restartVerdict(view, pool, draft.context.failures);
    if (verdict.kind === 'start') continue;
    const { kind, message } = verdict;
    const reason = verdict.kind === 'failed' ? verdict.reason : 'restart.completed';
    draft.report(kind, view, { reason, message });
  }
}

function reportOutdated(draft: PlanDraft, input: PoolInput, { warm, sleeping }: PoolInventory): void {
  const image = imageOf(input);
  for (const view of [...warm, ...sleeping].filter((entry) => isOutdated(entry, image))) {
    draft.report('outdated', view, {
      reason: 'instance.outdated',
      message: `${view.status} with the image ${shortDigest(view.image?.digest ?? '')}, and the pool's is ${shortDigest(image?.digest ?? '')}: it is used last and removed first; to have it replaced now: mvm instance stop --hold 1s`,
    });
  }
}
