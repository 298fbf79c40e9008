import type { TenantPolicies } from '@mvm/net-executor';
import type { PoolRecord, TenantRecord } from '../state/records.js';

/** The network policies that records ask for; empty when all is as by default. Pure. */
export function policiesOf(
  { policy }: Pick<TenantRecord, 'policy'>,
  pools: readonly Pick<PoolRecord, 'pool_id' | 'network_policy'>[],
): TenantPolicies {
  const own = pools.flatMap(({ pool_id, network_policy }) =>
    network_policy === undefined ? [] : [[pool_id, network_policy] as const],
  );
  return {
    ...(policy === undefined ? {} : { tenant: policy }),
    ...(own.length === 0 ? {} : { pools: Object.fromEntries(own) }),
  };
}

/** Whether two tenants' policies are the same. Records keep the order in which fields were given. */
export function samePolicies(a: TenantPolicies, b: TenantPolicies): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
