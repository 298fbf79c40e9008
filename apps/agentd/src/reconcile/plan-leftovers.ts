import { type PoolInput, type PoolInventory, sinceMs } from './inventory.js';
import type { PlanDraft } from './plan-draft.js';

/**
 * Destroy what is stopped beyond the pool's counts, where the pool says after which time: the one that is stopped the
 * longest first. As many stay as the counts may need, whatever state they are in; nothing that is held, busy or in a
 * pinned or critical pool is destroyed.
 */
export function planLeftovers(
  draft: PlanDraft,
  input: PoolInput,
  { idle, ended }: Pick<PoolInventory, 'idle' | 'ended'>,
): void {
  const { pool, tenantId, instances, protection, urgency } = input;
  const after = pool.destroy_stopped_after_seconds;
  if (after === undefined || protection !== null) return;
  const { running, warm, sleeping } = pool.desired_counts;
  const stopped = [...idle, ...ended].filter(
    ({ status, operation }) => status === 'stopped' && operation === null,
  );
  const beyond = Math.min(stopped.length, instances.length - (running + warm + sleeping));
  const due = stopped
    .toSorted((a, b) => sinceMs(a) - sinceMs(b))
    .slice(0, Math.max(0, beyond))
    .filter((view) => sinceMs(view) + after * 1000 <= draft.context.nowMs);
  for (const { pool_id, instance_id } of due) {
    const reason = `${tenantId}/${pool_id} wants ${running + warm + sleeping} and has ${instances.length}, and this one is stopped for its destroy_stopped_after_seconds, ${after} s`;
    draft.propose(
      { kind: 'destroy', tenant_id: tenantId, pool_id, instance_id, wipe_volumes: false, reason },
      { urgency },
    );
  }
}
