import { policiesOf, type TenantPolicies } from '@mvm/net-executor';
import { assertTransition, CodedError, checkNetworkPolicy, type PoolSpec } from '@mvm/protocol';
import type { ImageName, Step, StepPlan } from '../execute/step.js';
import type { PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { addressOf } from './plan-end.js';
import { plainNet } from './plan-tenant.js';
import { samePolicies } from './same-policies.js';

export interface PoolInput {
  readonly tenant: TenantRecord;
  readonly pool: PoolAddress;
  readonly spec: PoolSpec;
  readonly known: PoolRecord | undefined;
  /** The tenant's pools as recorded, this one among them when it is known. */
  readonly pools: readonly PoolRecord[];
  /** Host ports that other pools of this host publish, as `tcp 8443`, and which pool that is. */
  readonly published: ReadonlyMap<string, string>;
  /** What the spec's reference means on this host; null: nothing yet. */
  readonly image: ImageName | null;
}

/** Host ports that a pool publishes, as `tcp 8443`. */
export function publishedPorts({ network_policy }: Pick<PoolSpec, 'network_policy'>): string[] {
  return (network_policy?.publish ?? []).map(({ protocol, host_port }) => `${protocol} ${host_port}`);
}

function checkPublished(pool: PoolAddress, spec: PoolSpec, published: ReadonlyMap<string, string>): void {
  for (const port of publishedPorts(spec)) {
    const other = published.get(port);
    if (other === undefined) continue;
    throw new CodedError({
      code: 'already_exists',
      reason: 'net.port_taken',
      message: `pool ${pool.tenant_id}/${pool.pool_id} cannot publish ${port} of this host: pool ${other} does`,
      hint: 'Choose a host_port that no other pool of this host publishes.',
      details: { port, other },
    });
  }
}

/** As the store has them. */
function inOrder(pools: readonly PoolRecord[]): PoolRecord[] {
  return pools.toSorted((a, b) => (a.pool_id < b.pool_id ? -1 : 1));
}

/** Applies other policies to a tenant's network that is up; nothing when they are the same, or it is down. */
function policyChange(tenant: TenantRecord, before: TenantPolicies, policies: TenantPolicies): Step[] {
  if (tenant.network_up === false || samePolicies(before, policies)) return [];
  return [{ kind: 'network.ensure', net: plainNet(tenant.net), policies, before }];
}

/**
 * Steps that record a pool, make its image ready to be booted, and apply its network policy. Pure. Repeating changes
 * nothing. Throws `quota.exceeded` for one pool too many, `net.invalid_policy`, and `net.port_taken` for a host port that
 * another pool publishes.
 */
export function planPool({ tenant, pool, spec, known, pools, published, image }: PoolInput): StepPlan {
  if (spec.network_policy !== undefined) checkNetworkPolicy(spec.network_policy);
  checkPublished(pool, spec, published);
  if (known === undefined && pools.length >= tenant.quotas.max_pools) {
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
  const { network_policy } = spec;
  const record: PoolRecord = { ...(known ?? added), ...spec, network_policy, tenant_id, pool_id, image };
  const others = pools.filter((other) => other.pool_id !== pool_id);
  const differs = JSON.stringify(record) !== JSON.stringify(known);
  return {
    operation: 'ensure_pool',
    onFailure: 'undo',
    steps: [
      ...(differs ? [{ kind: 'pool.save', record, before: known ?? null } as const] : []),
      ...(image === null ? [] : [{ kind: 'image.activate', pool: { tenant_id, pool_id }, image } as const]),
      ...policyChange(tenant, policiesOf(tenant, pools), policiesOf(tenant, inOrder([...others, record]))),
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

/** Steps that forget a pool, and its policy. Pure. Throws `pool.has_instances`. */
export function planRemovePool(
  pool: PoolAddress,
  instanceCount: number,
  { tenant, pools }: Pick<PoolInput, 'tenant' | 'pools'>,
): StepPlan {
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
    onFailure: 'undo',
    steps: [
      // First, for it can be taken back: a pool that is gone from the records cannot be asked for again.
      ...policyChange(
        tenant,
        policiesOf(tenant, pools),
        policiesOf(
          tenant,
          pools.filter((other) => other.pool_id !== pool_id),
        ),
      ),
      { kind: 'pool.remove', pool: { tenant_id, pool_id } },
    ],
  };
}
