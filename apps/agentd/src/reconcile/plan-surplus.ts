import type { InstanceView } from '@mvm/protocol';
import type { PlanDraft } from './plan-draft.js';
import type { PoolInput } from './plan-pool.js';

/**
 * Stop what runs beyond the wanted count, the one that was started last first. Nothing is stopped before it ran
 * `min_running_seconds`, while an operation on it is under way, or when the pool is pinned or critical: the surplus is
 * then reported.
 */
export function planSurplus(draft: PlanDraft, input: PoolInput, running: readonly InstanceView[]): void {
  const { tenantId, pool, protection, urgency } = input;
  const subject = { tenant_id: tenantId, pool_id: pool.pool_id };
  const wanted = pool.desired_counts.running;
  const surplus = running.length - wanted;
  const has = `${tenantId}/${pool.pool_id} wants ${wanted} running and has ${running.length}`;
  if (protection !== null) {
    draft.report('protected', subject, {
      reason: `pool.${protection}`,
      message: `${has}, but it is ${protection}: nothing is stopped`,
    });
    return;
  }
  const minMs = pool.runtime_policy.min_running_seconds * 1000;
  const { nowMs } = draft.context;
  const newestFirst = [...running].sort(byNewest);
  const stoppable = newestFirst.filter((view) => view.operation === null && startedAt(view) + minMs <= nowMs);
  for (const [turn, view] of stoppable.slice(0, surplus).entries()) {
    const reason = `${has}: stop the one that was started last`;
    draft.propose({ kind: 'stop', ...subject, instance_id: view.instance_id, reason }, { urgency, turn });
  }
  const deferred = newestFirst.filter((view) => !stoppable.includes(view));
  for (const view of deferred.slice(0, Math.max(0, surplus - stoppable.length))) {
    if (view.operation !== null) {
      const message = `${has}; to be stopped once its ${view.operation} has ended`;
      draft.report('waiting', view, { reason: 'instance.busy', message });
    } else {
      const message = `${has}; to be stopped once it ran the pool's min_running_seconds, ${minMs / 1000} s`;
      const untilMs = startedAt(view) + minMs;
      draft.report('waiting', view, { reason: 'instance.min_running', message, untilMs });
    }
  }
}

function startedAt(view: InstanceView): number {
  return view.last_started_at === null ? 0 : Date.parse(view.last_started_at);
}

function byNewest(a: InstanceView, b: InstanceView): number {
  return startedAt(b) - startedAt(a) || b.instance_id.localeCompare(a.instance_id);
}
