import { CodedError, type RequestOf } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { planTeardown } from '../plan/plan-tenant.js';
import { requireTenant } from '../state/store.js';
import type { RecordOperation } from './operation.js';

export function parseRemoveTenant({ tenant_id }: RequestOf<'RemoveTenant'>): string {
  return parseTenantId(tenant_id);
}

/** Forgets a tenant. Throws what `planTeardown` throws, `tenant.not_found` and `tenant.has_pools`. */
export const removeTenant: RecordOperation<string, void> = {
  tenantOf: (tenantId) => tenantId,
  plan: (tenantId, _prepared, { store, reservations }) => {
    const tenant = requireTenant(store, tenantId);
    const pools = store.poolsOf(tenantId);
    if (pools.length > 0) {
      throw new CodedError({
        code: 'failed_precondition',
        reason: 'tenant.has_pools',
        message: `tenant ${tenantId} has ${pools.length} pools`,
        hint: 'Remove its pools (and before, their instances) first.',
      });
    }
    const runningCount = reservations.runningCount(tenantId);
    return {
      plan: planTeardown({ tenant, net: null, forget: true, pools, runningCount }),
      reserve: () => reservations.reserveTeardown(tenantId),
      result: () => {},
    };
  },
};
