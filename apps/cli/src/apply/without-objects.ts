import type { DesiredState } from '@mvm/protocol/state';
import type { Scope } from '../address/address.js';

/** A desired state without the tenants and pools named, the same object when it has none of them. Pure. */
export function withoutObjects(desired: DesiredState, objects: readonly Scope[]): DesiredState {
  const isNamed = (tenantId: string, poolId: string | undefined): boolean =>
    objects.some((each) => each.tenantId === tenantId && each.poolId === poolId);
  const tenants = desired.tenants
    .filter(({ tenant_id }) => !isNamed(tenant_id, undefined))
    .map((tenant) => {
      const pools = tenant.pools.filter(({ pool_id }) => !isNamed(tenant.tenant_id, pool_id));
      return pools.length === tenant.pools.length ? tenant : { ...tenant, pools };
    });
  const isSame =
    tenants.length === desired.tenants.length &&
    tenants.every((tenant, index) => tenant === desired.tenants[index]);
  return isSame ? desired : { ...desired, tenants };
}
