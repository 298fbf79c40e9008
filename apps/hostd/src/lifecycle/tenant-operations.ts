import {
  CodedError,
  generateInstanceId,
  type PoolSpec,
  type Quotas,
  type TenantNet,
  toCodedError,
} from '@mvm/protocol';
import { addressText, type InstanceAddress, type PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { assertUndamaged, requirePool, requireTenant } from '../state/store.js';
import type { Effects } from './effects.js';
import { executePlan } from './execute-plan.js';
import type { KeyedMutex } from './keyed-mutex.js';
import type { Ledger } from './ledger.js';
import type { Clock, OperationContext } from './operation-context.js';
import { planCreate } from './plan-create.js';
import { planTeardown, planTenantNetwork } from './plan-tenant.js';
import { type PoolImageDeps, refreshPoolImage } from './pool-image.js';
import type { StepPlan } from './steps.js';

export interface TenantOperationDeps {
  readonly effects: Effects;
  readonly ledger: Ledger;
  readonly mutex: KeyedMutex;
  readonly images: PoolImageDeps;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clusterCidr: string;
}

/**
 * What changes tenants, pools, and which instances there are.
 *
 * INVARIANTS
 * - Operations on one tenant run one at a time. They never wait for an instance's lock while they hold the tenant's.
 * - No two tenants of a host share a network id or an address; no two instances of a tenant share an offset.
 */
export interface TenantOperations {
  /** `quotas` null: SetupNetwork of version 1, which leaves them as they are, or takes the defaults. */
  ensureTenant(
    tenantId: string,
    net: TenantNet,
    quotas: Quotas | null,
    context: OperationContext,
  ): Promise<TenantRecord>;
  teardownNetwork(tenantId: string, net: TenantNet, context: OperationContext): Promise<void>;
  removeTenant(tenantId: string, context: OperationContext): Promise<void>;
  ensurePool(pool: PoolAddress, spec: PoolSpec, context: OperationContext): Promise<PoolRecord>;
  removePool(pool: PoolAddress): Promise<void>;
  createInstance(pool: PoolAddress, id: string | null, context: OperationContext): Promise<InstanceRecord>;
}

function notEmpty(reason: string, message: string, hint: string): CodedError {
  return new CodedError({ code: 'failed_precondition', reason, message, hint });
}

export function createTenantOperations(deps: TenantOperationDeps): TenantOperations {
  const { effects, ledger, clock } = deps;
  const { store } = effects;

  function exclusively<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
    return deps.mutex.run(`tenant ${tenantId}`, () => {
      assertUndamaged(store, tenantId);
      return work();
    });
  }

  async function run(plan: StepPlan, context: OperationContext): Promise<void> {
    const outcome = await executePlan(plan, effects, context.logger);
    if (!outcome.ok) throw toCodedError(outcome.error);
  }

  function dataDiskMibOf(instance: InstanceRecord): number {
    return instance.data_disk_mib ?? store.pool(instance)?.instance_resources.data_disk_mib ?? 0;
  }

  function unusedId(pool: PoolAddress): string {
    for (;;) {
      const instance_id = generateInstanceId(deps.randomBytes(4));
      if (store.instance({ ...pool, instance_id }) === undefined) return instance_id;
    }
  }

  async function takeDown(
    tenantId: string,
    net: TenantNet | null,
    forget: boolean,
    context: OperationContext,
  ): Promise<void> {
    const tenant = requireTenant(store, tenantId);
    const plan = planTeardown({ tenant, net, forget, runningCount: ledger.runningCount(tenantId) });
    const release = ledger.claimTeardown(tenantId);
    try {
      await run(plan, context);
    } finally {
      release();
    }
  }

  async function savePool(pool: PoolAddress, spec: PoolSpec): Promise<PoolRecord> {
    const tenant = requireTenant(store, pool.tenant_id);
    const known = store.pool(pool);
    if (known === undefined && store.poolsOf(pool.tenant_id).length >= tenant.quotas.max_pools) {
      throw new CodedError({
        code: 'resource_exhausted',
        reason: 'quota.exceeded',
        message: `one more pool would exceed max_pools (${tenant.quotas.max_pools}) of tenant ${pool.tenant_id}`,
        hint: 'Remove a pool, or raise the quota and apply it.',
        details: { tenant: pool.tenant_id, quota: 'max_pools', limit: tenant.quotas.max_pools },
      });
    }
    const added = { metadata_enabled: false, pinned: false, critical: false };
    const record = { ...(known ?? added), ...spec, tenant_id: pool.tenant_id, pool_id: pool.pool_id };
    return await refreshPoolImage(deps.images, record);
  }

  /** Instances that were created before the pool had an image become ready, each under its own lock. */
  async function prepareInstances(pool: PoolAddress, context: OperationContext): Promise<void> {
    const waiting = store.instancesOf(pool).filter((instance) => instance.status === 'created');
    await Promise.all(
      waiting.map(({ instance_id }) => {
        const address: InstanceAddress = { ...pool, instance_id };
        return deps.mutex.run(addressText(address), async () => {
          const instance = store.instance(address);
          if (instance?.status !== 'created') return;
          await store.saveInstance({ ...instance, status: 'ready' });
          context.logger.info({ instance: instance_id }, 'instance is ready: its pool has an image');
        });
      }),
    );
  }

  return {
    ensureTenant: (tenantId, net, quotas, context) =>
      exclusively(tenantId, async () => {
        const plan = planTenantNetwork(
          {
            tenantId,
            net,
            quotas,
            known: store.tenant(tenantId),
            others: ledger.otherNets(tenantId),
            instanceCount: store.instancesOfTenant(tenantId).length,
            clusterCidr: deps.clusterCidr,
          },
          { now: clock.now() },
        );
        const release = ledger.claimNet(tenantId, net);
        try {
          await run(plan, context);
        } finally {
          release();
        }
        return requireTenant(store, tenantId);
      }),
    teardownNetwork: (tenantId, net, context) =>
      exclusively(tenantId, () => takeDown(tenantId, net, false, context)),
    removeTenant: (tenantId, context) =>
      exclusively(tenantId, async () => {
        requireTenant(store, tenantId);
        const pools = store.poolsOf(tenantId).length;
        if (pools > 0) {
          throw notEmpty(
            'tenant.has_pools',
            `tenant ${tenantId} has ${pools} pools`,
            'Remove its pools (and before, their instances) first.',
          );
        }
        await takeDown(tenantId, null, true, context);
      }),
    ensurePool: async (pool, spec, context) => {
      const record = await exclusively(pool.tenant_id, () => savePool(pool, spec));
      if (record.image != null) await prepareInstances(pool, context);
      return record;
    },
    removePool: (pool) =>
      exclusively(pool.tenant_id, async () => {
        requirePool(store, pool);
        const instances = store.instancesOf(pool).length;
        if (instances > 0) {
          throw notEmpty(
            'pool.has_instances',
            `pool ${pool.tenant_id}/${pool.pool_id} has ${instances} instances`,
            'Destroy its instances first.',
          );
        }
        await store.removePool(pool);
      }),
    createInstance: (pool, id, context) =>
      exclusively(pool.tenant_id, async () => {
        const instanceId = id ?? unusedId(pool);
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
        await run(plan, context);
        const created = store.instance({ ...pool, instance_id: instanceId });
        if (created === undefined) throw new Error('a created instance is not recorded');
        return created;
      }),
  };
}
