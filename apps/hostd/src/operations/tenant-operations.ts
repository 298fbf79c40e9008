import { type PoolSpec, type TenantNet, toCodedError } from '@mvm/protocol';
import { executePlan } from '../execute/execute-plan.js';
import type { HostPorts } from '../execute/ports.js';
import type { StepPlan } from '../execute/step.js';
import { planPrepare, publishedPorts } from '../plan/plan-pool.js';
import type { TenantWish } from '../plan/plan-tenant.js';
import { addressText, type PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { assertUndamaged, requirePool, requireTenant } from '../state/store.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';
import type { Clock, OperationContext } from './operation-context.js';
import {
  type PrepareTenantDeps,
  prepareCreate,
  prepareInstances,
  preparePool,
  prepareRemovePool,
  prepareRemoveTenant,
  prepareTeardown,
  prepareTenantNetwork,
} from './prepare-tenant.js';
import type { Reservations } from './reservations.js';

export interface TenantOperationDeps {
  readonly ports: HostPorts;
  readonly reservations: Reservations;
  readonly mutex: KeyedMutex;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clusterCidr: string;
  readonly hostFacts: PrepareTenantDeps['hostFacts'];
  readonly publishPorts: PrepareTenantDeps['publishPorts'];
}

/**
 * What changes tenants, pools, and which instances there are.
 *
 * INVARIANTS
 * - Operations on one tenant run one at a time. They never wait for an instance's lock while they hold the tenant's.
 * - No two tenants of a host share a network id or an address; no two instances of a tenant share an offset.
 */
export interface TenantOperations {
  /** `wish` null: SetupNetwork of version 1, which leaves quotas and policy as they are, or takes the defaults. */
  ensureTenant(
    tenantId: string,
    net: TenantNet,
    wish: TenantWish | null,
    context: OperationContext,
  ): Promise<TenantRecord>;
  teardownNetwork(tenantId: string, net: TenantNet, context: OperationContext): Promise<void>;
  removeTenant(tenantId: string, context: OperationContext): Promise<void>;
  ensurePool(pool: PoolAddress, spec: PoolSpec, context: OperationContext): Promise<PoolRecord>;
  removePool(pool: PoolAddress, context: OperationContext): Promise<void>;
  createInstance(pool: PoolAddress, id: string | null, context: OperationContext): Promise<InstanceRecord>;
}

export function createTenantOperations(deps: TenantOperationDeps): TenantOperations {
  const { ports, reservations } = deps;
  const { store } = ports;
  const prepare: PrepareTenantDeps = { ...deps, store };

  function exclusively<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
    return deps.mutex.run(`tenant ${tenantId}`, () => {
      assertUndamaged(store, tenantId);
      return work();
    });
  }

  async function run(plan: StepPlan, context: OperationContext): Promise<void> {
    const outcome = await executePlan(plan, ports, context.logger);
    if (!outcome.ok) throw toCodedError(outcome.error);
  }

  /** Run a plan while `release` is outstanding: what was planned and claimed came in one synchronous piece. */
  async function runClaimed(plan: StepPlan, release: () => void, context: OperationContext): Promise<void> {
    try {
      await run(plan, context);
    } finally {
      release();
    }
  }

  /** Instances that were created before the pool had an image become ready, each under its own lock. */
  async function makeReady(pool: PoolAddress, context: OperationContext): Promise<void> {
    await Promise.all(
      prepareInstances(pool, prepare)
        .flatMap(({ steps }) => steps)
        .map((step) => {
          if (step.kind !== 'instance.prepare')
            throw new Error('an instance is prepared by one kind of step');
          return deps.mutex.run(addressText(step.address), async () => {
            const instance = store.instance(step.address);
            if (instance?.status !== 'created') return;
            await run(planPrepare(instance), context);
            context.logger.info({ ...step.address }, 'instance is ready: its pool has an image');
          });
        }),
    );
  }

  return {
    ensureTenant: (tenantId, net, wish, context) =>
      exclusively(tenantId, async () => {
        const plan = prepareTenantNetwork(tenantId, net, wish, prepare);
        await runClaimed(plan, reservations.reserveNet(tenantId, net), context);
        return requireTenant(store, tenantId);
      }),
    teardownNetwork: (tenantId, net, context) =>
      exclusively(tenantId, () => {
        const plan = prepareTeardown(tenantId, net, prepare);
        return runClaimed(plan, reservations.reserveTeardown(tenantId), context);
      }),
    removeTenant: (tenantId, context) =>
      exclusively(tenantId, () => {
        const plan = prepareRemoveTenant(tenantId, prepare);
        return runClaimed(plan, reservations.reserveTeardown(tenantId), context);
      }),
    ensurePool: async (pool, spec, context) => {
      await exclusively(pool.tenant_id, async () => {
        requireTenant(store, pool.tenant_id);
        const image = await ports.images.resolve(spec.flake_ref);
        const plan = preparePool(pool, spec, image, prepare);
        await runClaimed(plan, reservations.reservePublished(pool, publishedPorts(spec)), context);
      });
      const record = requirePool(store, pool);
      if (record.image != null) await makeReady(pool, context);
      return record;
    },
    removePool: (pool, context) =>
      exclusively(pool.tenant_id, () => run(prepareRemovePool(pool, prepare), context)),
    createInstance: (pool, id, context) =>
      exclusively(pool.tenant_id, async () => {
        const { plan, instanceId } = prepareCreate(pool, id, prepare);
        await run(plan, context);
        const created = store.instance({ ...pool, instance_id: instanceId });
        if (created === undefined) throw new Error('a created instance is not recorded');
        return created;
      }),
  };
}
