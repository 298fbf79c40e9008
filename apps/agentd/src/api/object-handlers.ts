import type { PoolSummary, TenantSummary } from '@mvm/agentd-api';
import { CodedError, type InstanceView, type PoolView } from '@mvm/protocol';
import { listInstances, listTenants } from '../reconcile/observe.js';
import { countByStatus } from '../reconcile/status.js';
import type { ObservedTenant } from '../reconcile/types.js';
import type { ApiContext, Handlers } from './handler-types.js';
import { removePool } from './remove-pool.js';
import { removeTenant } from './remove-tenant.js';

type ObjectRoute = 'listTenants' | 'getTenant' | 'listPools' | 'getPool' | 'removePool' | 'removeTenant';

function summarisePool(pool: PoolView, instances: readonly InstanceView[]): PoolSummary {
  const own = instances.filter(
    ({ tenant_id, pool_id }) => tenant_id === pool.tenant_id && pool_id === pool.pool_id,
  );
  return { ...pool, instances: countByStatus(own) };
}

function summariseTenant(tenant: ObservedTenant, instances: readonly InstanceView[]): TenantSummary {
  return { ...tenant, pools: tenant.pools.map((pool) => summarisePool(pool, instances)) };
}

function notFound(kind: 'tenant' | 'pool', name: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: `${kind}.not_found`,
    message: `${kind} ${name} is not on this host`,
    hint: `See what is: mvm ${kind} list. What was applied a moment ago may still be on its way: mvm status.`,
    details: { [kind]: name },
  });
}

/** Tenants and pools as hostd records them, with their instances counted. */
export function objectHandlers(context: ApiContext): Handlers<ObjectRoute> {
  const { client } = context;

  async function summaries(tenantId?: string): Promise<TenantSummary[]> {
    const filter = tenantId === undefined ? {} : { tenant_id: tenantId };
    const [tenants, instances] = await Promise.all([listTenants(client), listInstances(client, filter)]);
    const wanted = tenants.filter(({ tenant_id }) => (tenantId ?? tenant_id) === tenant_id);
    if (tenantId !== undefined && wanted.length === 0) throw notFound('tenant', tenantId);
    return wanted.map((tenant) => summariseTenant(tenant, instances));
  }

  async function summary(tenantId: string): Promise<TenantSummary> {
    const [tenant] = await summaries(tenantId);
    if (tenant === undefined) throw notFound('tenant', tenantId);
    return tenant;
  }

  return {
    async listTenants() {
      return { tenants: await summaries() };
    },
    removeTenant: (input, caller) => removeTenant(context, input, caller),
    removePool: (input, caller) => removePool(context, input, caller),
    getTenant: ({ params }) => summary(params.tenant),
    async listPools({ query }) {
      return { pools: (await summaries(query.tenant)).flatMap((tenant) => tenant.pools) };
    },
    async getPool({ params }) {
      const pool = (await summary(params.tenant)).pools.find(({ pool_id }) => pool_id === params.pool);
      if (pool === undefined) throw notFound('pool', `${params.tenant}/${params.pool}`);
      return pool;
    },
  };
}
