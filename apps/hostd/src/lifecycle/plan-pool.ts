import { assertTransition, CodedError, type PoolSpec } from '@mvm/protocol';
import type { PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { addressOf } from './plan-end.js';
import type { ImageName, StepPlan } from './steps.js';

export interface PoolInput {
  readonly tenant: TenantRecord;
  readonly pool: PoolAddress;
  readonly spec: PoolSpec;
  readonly known: PoolRecord | undefined;
  /** How many pools the tenant has. */
  readonly poolCount: number;
  /** What the spec's reference means on this host; null: nothing yet. */
  readonly image: ImageName | null;
}

/**
 * Steps that record a pool and make its image ready to be booted. Pure. Repeating changes nothing. Throws
 * `quota.exceeded` for one pool too many.
 */
export function planPool({ tenant, pool, spec, known, poolCount, image }: PoolInput): StepPlan {
  if (known === undefined && poolCount >= tenant.quotas.max_pools) {
    throw new CodedError({
      code: 'resource_exhausted',
      reason: 'quota.exceeded',
      message: `one more pool would exceed max_pools (${tenant.quotas.max_pools}) of tenant ${tenant.tenant_id}`,
      hint: 'Remove a pool, or raise the quota and apply it.',
      details: { tenant: tenant.tenant_id, quota: 'max_pools', limit: tenant.quotas.max_pools },
    });
  }
  const { tenant_id, pool_id } = pool;
  const added = { metadata_enabled: false, pinned: false, critical: false };
  const record: PoolRecord = { ...(known ?? added), ...spec, tenant_id, pool_id, image };
  const differs = JSON.stringify(record) !== JSON.stringify(known);
  return {
    operation: 'ensure_pool',
    onFailure: 'undo',
    steps: [
      ...(differs ? [{ kind: 'pool.save', record, before: known ?? null } as const] : []),
      ...(image === null ? [] : [{ kind: 'image.activate', pool: { tenant_id, pool_id }, image } as const]),
    ],
  };
}

/** Steps by which an instance that was created before its pool had an image becomes ready. Pure. */
export function planPrepare(instance: InstanceRecord): StepPlan {
  assertTransition(instance.status, 'prepare');
  return {
    operation: 'prepare',
    onFailure: 'undo',
    steps: [{ kind: 'instance.prepare', address: addressOf(instance) }],
  };
}

/** Steps that forget a pool. Pure. Throws `pool.has_instances`. */
export function planRemovePool(pool: PoolAddress, instanceCount: number): StepPlan {
  const { tenant_id, pool_id } = pool;
  if (instanceCount > 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'pool.has_instances',
      message: `pool ${tenant_id}/${pool_id} has ${instanceCount} instances`,
      hint: 'Destroy its instances first.',
    });
  }
  return {
    operation: 'remove_pool',
    onFailure: 'finish',
    steps: [{ kind: 'pool.remove', pool: { tenant_id, pool_id } }],
  };
}
