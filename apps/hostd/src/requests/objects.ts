import { type PoolView, parseInstanceId, parsePoolId, parseTenantId, type TenantView } from '@mvm/protocol';
import type { TenantWish } from '../plan/plan-tenant.js';
import type { InstanceRecord } from '../state/records.js';
import type { RequestHandler, RequestOf, RequestServices } from './handler.js';
import { parsePoolAddress } from './ids.js';
import { jsonBytes, PAGE_BYTES, takePage } from './page.js';
import { instanceView, poolView, tenantView } from './views.js';

/** What an EnsureTenant wants besides the network. */
export function tenantWish({ quotas, policy }: RequestOf<'EnsureTenant'>): TenantWish {
  return { quotas, policy };
}

export const ensureTenant: RequestHandler<'EnsureTenant'> = async (request, { tenants }, context) => {
  const tenantId = parseTenantId(request.tenant_id);
  const record = await tenants.ensureTenant(tenantId, request.net, tenantWish(request), context);
  return { type: 'Tenant', ...tenantView(record) };
};

export const removeTenant: RequestHandler<'RemoveTenant'> = async (request, { tenants }, context) => {
  await tenants.removeTenant(parseTenantId(request.tenant_id), context);
  return { type: 'Ok' };
};

export const ensurePool: RequestHandler<'EnsurePool'> = async (request, { tenants }, context) => {
  const record = await tenants.ensurePool(parsePoolAddress(request), request.spec, context);
  return { type: 'Pool', ...poolView(record) };
};

export const removePool: RequestHandler<'RemovePool'> = async (request, { tenants }, context) => {
  await tenants.removePool(parsePoolAddress(request), context);
  return { type: 'Ok' };
};

export const createInstance: RequestHandler<'CreateInstance'> = async (request, services, context) => {
  const pool = parsePoolAddress(request);
  const id = request.instance_id == null ? null : parseInstanceId(request.instance_id);
  const record = await services.tenants.createInstance(pool, id, context);
  return { type: 'Instance', ...instanceView(record, services) };
};

/** A tenant whose pools alone would overflow a frame is cut: `ListInstances` and `EnsurePool` still reach all of them. */
function poolsWithin(pools: PoolView[], bytes: number): PoolView[] {
  let left = bytes;
  return pools.filter((pool) => {
    left -= jsonBytes(pool) + 1;
    return left >= 0;
  });
}

export const listTenants: RequestHandler<'ListTenants'> = async (request, { ports }) => {
  const { store } = ports;
  const page = takePage(store.tenants(), {
    idsOf: (tenant) => [tenant.tenant_id],
    view: (tenant): TenantView & { pools: PoolView[] } => ({
      ...tenantView(tenant),
      pools: poolsWithin(store.poolsOf(tenant.tenant_id).map(poolView), PAGE_BYTES),
    }),
    cursor: request.cursor,
    limit: request.limit,
    parts: 1,
  });
  return { type: 'Tenants', tenants: page.items, next_cursor: page.next };
};

function* instancesInOrder(
  { ports }: RequestServices,
  tenantId: string | null,
  poolId: string | null,
): Generator<InstanceRecord> {
  const { store } = ports;
  for (const tenant of store.tenants()) {
    if (tenantId !== null && tenant.tenant_id !== tenantId) continue;
    for (const pool of store.poolsOf(tenant.tenant_id)) {
      if (poolId !== null && pool.pool_id !== poolId) continue;
      yield* store.instancesOf(pool);
    }
  }
}

export const listInstances: RequestHandler<'ListInstances'> = async (request, services) => {
  const tenantId = request.tenant_id == null ? null : parseTenantId(request.tenant_id);
  const poolId = request.pool_id == null ? null : parsePoolId(request.pool_id);
  const page = takePage(instancesInOrder(services, tenantId, poolId), {
    idsOf: (instance) => [instance.tenant_id, instance.pool_id, instance.instance_id],
    view: (instance) => instanceView(instance, services),
    cursor: request.cursor,
    limit: request.limit,
    parts: 3,
  });
  return { type: 'Instances', instances: page.items, next_cursor: page.next };
};
