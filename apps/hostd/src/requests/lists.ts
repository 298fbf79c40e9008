import type { PoolView, TenantView } from '@mvm/protocol';
import { parsePoolId, parseTenantId } from '@mvm/protocol/names';
import type { InstanceRecord } from '../state/records.js';
import type { RequestHandler, RequestServices } from './handler.js';
import { jsonBytes, PAGE_BYTES, takePage } from './page.js';
import { instanceView, poolView, tenantView } from './views.js';

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
