import { planRemovePool } from '../plan/plan-pool.js';
import type { PoolAddress } from '../state/layout.js';
import { requirePool, requireTenant } from '../state/store.js';
import type { RecordOperation } from './operation.js';

/** Forgets a pool. Throws `pool.not_found`, `tenant.not_found` and `pool.has_instances`. */
export const removePool: RecordOperation<PoolAddress, void> = {
  tenantOf: ({ tenant_id }) => tenant_id,
  plan: (pool, _prepared, { store }) => {
    requirePool(store, pool);
    const tenant = requireTenant(store, pool.tenant_id);
    const pools = store.poolsOf(pool.tenant_id);
    return {
      plan: planRemovePool(pool, store.instancesOf(pool).length, { tenant, pools }),
      result: () => {},
    };
  },
};
