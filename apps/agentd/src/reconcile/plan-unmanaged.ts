import type { DesiredState } from '@mvm/protocol/state';
import type { PlanDraft } from './plan-draft.js';
import { protectionOf, URGENCY } from './plan-tenant.js';
import type { ObservedHost, Overrides } from './types.js';

const place = { urgency: URGENCY.normal };

/**
 * Tenants and pools that are on the host and not in the desired state: reported, or, when pruning was asked for, taken
 * down from the inside: first the instances are destroyed, once they are gone the pool is removed, then the tenant.
 * What is pinned or critical stays.
 */
export function planUnmanaged(
  draft: PlanDraft,
  desired: DesiredState,
  observed: ObservedHost,
  overrides: Overrides,
): void {
  for (const tenant of observed.tenants) {
    const { tenant_id } = tenant;
    const wanted = desired.tenants.find((entry) => entry.tenant_id === tenant_id);
    const unwanted = tenant.pools.filter(
      ({ pool_id }) => wanted === undefined || !wanted.pools.some((pool) => pool.pool_id === pool_id),
    );
    const prune = wanted === undefined ? desired.prune_unknown_tenants : desired.prune_unknown_pools;
    if (!prune) {
      if (wanted === undefined) reportUnmanaged(draft, { tenant_id }, 'tenant');
      else for (const { pool_id } of unwanted) reportUnmanaged(draft, { tenant_id, pool_id }, 'pool');
      continue;
    }
    for (const { pool_id } of unwanted) prunePool(draft, tenant_id, pool_id, observed, overrides);
    if (wanted !== undefined || tenant.pools.length > 0) continue;
    const protection = protectionOf(overrides, tenant_id);
    if (protection !== null) reportProtected(draft, { tenant_id }, protection);
    else {
      const reason = 'the tenant is not in the desired state, and unknown tenants are to be pruned';
      draft.propose({ kind: 'remove_tenant', tenant_id, reason }, place);
    }
  }
}

function prunePool(
  draft: PlanDraft,
  tenant_id: string,
  pool_id: string,
  observed: ObservedHost,
  overrides: Overrides,
): void {
  const subject = { tenant_id, pool_id };
  const protection = protectionOf(overrides, tenant_id, pool_id);
  if (protection !== null) {
    reportProtected(draft, subject, protection);
    return;
  }
  const reason = 'the pool is not in the desired state, and what is unknown is to be pruned';
  const instances = observed.instances.filter(
    (view) => view.tenant_id === tenant_id && view.pool_id === pool_id,
  );
  for (const { instance_id, operation } of instances) {
    if (operation !== null) {
      const message = `to be destroyed once its ${operation} has ended: ${reason}`;
      draft.report('waiting', { ...subject, instance_id }, { reason: 'instance.busy', message });
    } else {
      draft.propose({ kind: 'destroy', ...subject, instance_id, wipe_volumes: false, reason }, place);
    }
  }
  if (instances.length === 0) draft.propose({ kind: 'remove_pool', ...subject, reason }, place);
}

function reportUnmanaged(
  draft: PlanDraft,
  subject: { tenant_id: string; pool_id?: string },
  kind: 'tenant' | 'pool',
): void {
  draft.report('unmanaged', subject, {
    reason: `${kind}.unmanaged`,
    message: `on the host but not in the desired state; left alone, because prune_unknown_${kind}s is false`,
  });
}

function reportProtected(
  draft: PlanDraft,
  subject: { tenant_id: string; pool_id?: string },
  protection: string,
): void {
  const what = subject.pool_id === undefined ? 'tenant' : 'pool';
  draft.report('protected', subject, {
    reason: `${what}.${protection}`,
    message: `not in the desired state, but ${protection}: it is not pruned`,
  });
}
