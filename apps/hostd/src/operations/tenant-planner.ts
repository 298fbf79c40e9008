import type { PoolSpec, TenantNet } from '@mvm/protocol';
import type { HostPorts } from '../execute/ports.js';
import type { TenantWish } from '../plan/plan-tenant.js';
import type { PoolAddress } from '../state/layout.js';
import { assertUndamaged, requireTenant } from '../state/store.js';
import { type PlannedOperation, plannedOperation } from './planned-operation.js';
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

export interface TenantPlannerDeps extends PrepareTenantDeps {
  readonly ports: Pick<HostPorts, 'images'>;
}

/**
 * Plans what `TenantOperations` does without carrying it out, by the functions that prepare the real operations. Changes
 * nothing; refused as the operation would be.
 */
export interface TenantPlanner {
  ensureTenant(tenantId: string, net: TenantNet, wish: TenantWish | null): PlannedOperation;
  teardownNetwork(tenantId: string, net: TenantNet): PlannedOperation;
  removeTenant(tenantId: string): PlannedOperation;
  ensurePool(pool: PoolAddress, spec: PoolSpec): Promise<PlannedOperation>;
  removePool(pool: PoolAddress): PlannedOperation;
  createInstance(pool: PoolAddress, id: string | null): PlannedOperation;
}

export function createTenantPlanner(deps: TenantPlannerDeps): TenantPlanner {
  const { store, ports } = deps;
  return {
    ensureTenant: (tenantId, net, wish) => {
      assertUndamaged(store, tenantId);
      return plannedOperation([prepareTenantNetwork(tenantId, net, wish, deps)], []);
    },
    teardownNetwork: (tenantId, net) => {
      assertUndamaged(store, tenantId);
      return plannedOperation([prepareTeardown(tenantId, net, deps)], []);
    },
    removeTenant: (tenantId) => {
      assertUndamaged(store, tenantId);
      return plannedOperation([prepareRemoveTenant(tenantId, deps)], []);
    },
    ensurePool: async (pool, spec) => {
      assertUndamaged(store, pool.tenant_id);
      requireTenant(store, pool.tenant_id);
      const image = await ports.images.resolve(spec.flake_ref);
      const plan = preparePool(pool, spec, image, deps);
      if (image !== null) return plannedOperation([plan, ...prepareInstances(pool, deps)], []);
      return plannedOperation(
        [plan],
        ['the image is not registered on this host: until it is, no instance of the pool can start'],
      );
    },
    removePool: (pool) => {
      assertUndamaged(store, pool.tenant_id);
      return plannedOperation([prepareRemovePool(pool, deps)], []);
    },
    createInstance: (pool, id) => {
      assertUndamaged(store, pool.tenant_id);
      const { plan } = prepareCreate(pool, id, deps);
      return plannedOperation(
        [plan],
        id === null ? ['the id is chosen when it is created: this is one of many'] : [],
      );
    },
  };
}
