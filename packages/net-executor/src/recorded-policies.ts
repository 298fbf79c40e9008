import type { NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import type { TenantPolicies } from './types.js';

/** The network policies that records of a tenant and its pools ask for; empty when all is as by default. Pure. */
export function policiesOf(
  { policy }: { readonly policy?: NetworkPolicy | undefined },
  pools: readonly { readonly pool_id: string; readonly network_policy?: PoolNetworkPolicy | undefined }[],
): TenantPolicies {
  const own = pools.flatMap(({ pool_id, network_policy }) =>
    network_policy === undefined ? [] : [[pool_id, network_policy] as const],
  );
  return {
    ...(policy === undefined ? {} : { tenant: policy }),
    ...(own.length === 0 ? {} : { pools: Object.fromEntries(own) }),
  };
}
