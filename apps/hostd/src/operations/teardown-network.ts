import type { RequestOf, TenantNet } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { planTeardown } from '../plan/plan-tenant.js';
import { requireTenant } from '../state/store.js';
import type { RecordOperation } from './operation.js';

export interface TeardownRequest {
  readonly tenantId: string;
  /** What the caller says that the network is. */
  readonly net: TenantNet;
}

export function parseTeardownNetwork({ tenant_id, net }: RequestOf<'TeardownNetwork'>): TeardownRequest {
  return { tenantId: parseTenantId(tenant_id), net };
}

/** Takes a tenant's network down. Throws what `planTeardown` throws, and `tenant.not_found`. */
export const teardownNetwork: RecordOperation<TeardownRequest, void> = {
  tenantOf: ({ tenantId }) => tenantId,
  plan: ({ tenantId, net }, _prepared, { store, reservations }) => {
    const tenant = requireTenant(store, tenantId);
    const pools = store.poolsOf(tenantId);
    const runningCount = reservations.runningCount(tenantId);
    return {
      plan: planTeardown({ tenant, net, forget: false, pools, runningCount }),
      reserve: () => reservations.reserveTeardown(tenantId),
      result: () => {},
    };
  },
};
