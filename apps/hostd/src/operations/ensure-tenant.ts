import type { RequestOf, TenantNet } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { planTenantNetwork, type TenantSettings } from '../plan/plan-tenant.js';
import type { TenantRecord } from '../state/records.js';
import { requireTenant } from '../state/store.js';
import type { RecordOperation } from './operation.js';

export interface TenantInput {
  readonly tenantId: string;
  readonly net: TenantNet;
  /** Null: as recorded, or the defaults, for SetupNetwork of version 1 cannot say. */
  readonly settings: TenantSettings | null;
}

export function parseEnsureTenant({
  tenant_id,
  net,
  quotas,
  policy,
}: RequestOf<'EnsureTenant'>): TenantInput {
  return { tenantId: parseTenantId(tenant_id), net, settings: { quotas, policy } };
}

export function parseSetupNetwork({ tenant_id, net }: RequestOf<'SetupNetwork'>): TenantInput {
  return { tenantId: parseTenantId(tenant_id), net, settings: null };
}

/** Records a tenant and brings its network up. Throws what `planTenantNetwork` throws. */
export const ensureTenant: RecordOperation<TenantInput, TenantRecord> = {
  tenantOf: ({ tenantId }) => tenantId,
  plan: ({ tenantId, net, settings }, _prepared, { store, reservations, clock, clusterCidr, hostFacts }) => ({
    plan: planTenantNetwork(
      {
        ...{ tenantId, net, settings, clusterCidr },
        pools: store.poolsOf(tenantId),
        known: store.tenant(tenantId),
        others: reservations.otherNets(tenantId),
        hostNetworks: hostFacts.networks(),
        instanceCount: store.instancesOfTenant(tenantId).length,
      },
      { now: clock.now() },
    ),
    reserve: () => reservations.reserveNet(tenantId, net),
    result: () => requireTenant(store, tenantId),
  }),
};
