import { CodedError, generateInstanceId, type PoolSpec, type TenantNet } from '@mvm/protocol';
import type { ImageName, StepPlan } from '../execute/step.js';
import { planCreate } from '../plan/plan-create.js';
import { type PortRange, planPool, planPrepare, planRemovePool } from '../plan/plan-pool.js';
import { planTeardown, planTenantNetwork, type TenantWish } from '../plan/plan-tenant.js';
import type { PoolAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { requirePool, requireTenant, type StateStore } from '../state/store.js';
import type { HostFacts } from '../system/host-facts.js';
import type { Clock } from './operation-context.js';
import type { Reservations } from './reservations.js';

/** As `PrepareDeps` of instances: records and claims of this moment go into the planner, and nothing is changed. */
export interface PrepareTenantDeps {
  readonly store: StateStore;
  readonly reservations: Reservations;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clusterCidr: string;
  /** Of this moment. */
  readonly hostFacts: HostFacts;
  /** Host ports that pools may publish. */
  readonly publishPorts: readonly PortRange[];
}

/** A tenant's record and network. `wish` null: as recorded, or the defaults. Throws what `planTenantNetwork` throws. */
export function prepareTenantNetwork(
  tenantId: string,
  net: TenantNet,
  wish: TenantWish | null,
  { store, reservations, clock, clusterCidr, hostFacts }: PrepareTenantDeps,
): StepPlan {
  return planTenantNetwork(
    {
      tenantId,
      net,
      wish,
      pools: store.poolsOf(tenantId),
      known: store.tenant(tenantId),
      others: reservations.otherNets(tenantId),
      instanceCount: store.instancesOfTenant(tenantId).length,
      clusterCidr,
      hostNetworks: hostFacts.networks(),
    },
    { now: clock.now() },
  );
}

/** Taking a tenant's network down. Throws what `planTeardown` throws, and `tenant.not_found`. */
export function prepareTeardown(
  tenantId: string,
  net: TenantNet | null,
  { store, reservations }: PrepareTenantDeps,
  { forget } = { forget: false },
): StepPlan {
  const tenant = requireTenant(store, tenantId);
  const pools = store.poolsOf(tenantId);
  return planTeardown({ tenant, net, forget, pools, runningCount: reservations.runningCount(tenantId) });
}

/** Forgetting a tenant. Throws what `planTeardown` throws, `tenant.not_found` and `tenant.has_pools`. */
export function prepareRemoveTenant(tenantId: string, deps: PrepareTenantDeps): StepPlan {
  requireTenant(deps.store, tenantId);
  const pools = deps.store.poolsOf(tenantId).length;
  if (pools > 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.has_pools',
      message: `tenant ${tenantId} has ${pools} pools`,
      hint: 'Remove its pools (and before, their instances) first.',
    });
  }
  return prepareTeardown(tenantId, null, deps, { forget: true });
}

/** A pool's record and image. Throws what `planPool` throws, and `tenant.not_found`. */
export function preparePool(
  pool: PoolAddress,
  spec: PoolSpec,
  image: ImageName | null,
  { store, reservations, hostFacts, publishPorts }: PrepareTenantDeps,
): StepPlan {
  const tenant = requireTenant(store, pool.tenant_id);
  const pools = store.poolsOf(pool.tenant_id);
  const published = reservations.otherPublished(pool);
  const known = store.pool(pool);
  const host = { publishPorts, listening: hostFacts.listening() };
  return planPool({ tenant, pool, spec, known, pools, published, image, host });
}

/** What is left to do for each instance of a pool once that has an image. Each plan needs that instance's lock. */
export function prepareInstances(pool: PoolAddress, { store }: PrepareTenantDeps): StepPlan[] {
  return store
    .instancesOf(pool)
    .filter((instance) => instance.status === 'created')
    .map(planPrepare);
}

/** Forgetting a pool. Throws `pool.not_found`, `tenant.not_found` and `pool.has_instances`. */
export function prepareRemovePool(pool: PoolAddress, { store }: PrepareTenantDeps): StepPlan {
  requirePool(store, pool);
  const tenant = requireTenant(store, pool.tenant_id);
  return planRemovePool(pool, store.instancesOf(pool).length, {
    tenant,
    pools: store.poolsOf(pool.tenant_id),
  });
}

function unusedId(pool: PoolAddress, { store, randomBytes }: PrepareTenantDeps): string {
  for (;;) {
    const instance_id = generateInstanceId(randomBytes(4));
    if (store.instance({ ...pool, instance_id }) === undefined) return instance_id;
  }
}

/** A new instance; an id of ours when `id` is null. Throws what `planCreate` throws, and `not_found`. */
export function prepareCreate(
  pool: PoolAddress,
  id: string | null,
  deps: PrepareTenantDeps,
): { readonly plan: StepPlan; readonly instanceId: string } {
  const { store, clock } = deps;
  const instanceId = id ?? unusedId(pool, deps);
  const dataDiskMibOf = (instance: InstanceRecord): number =>
    instance.data_disk_mib ?? store.pool(instance)?.instance_resources.data_disk_mib ?? 0;
  const plan = planCreate(
    {
      tenant: requireTenant(store, pool.tenant_id),
      pool: requirePool(store, pool),
      instanceId,
      instances: store.instancesOfTenant(pool.tenant_id),
      dataDiskMibOf,
    },
    { now: clock.now() },
  );
  return { plan, instanceId };
}
