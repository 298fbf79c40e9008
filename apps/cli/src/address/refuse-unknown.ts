import { CodedError } from '@mvm/protocol';
import type { CliContext } from '../context.js';
import type { Scope } from './address.js';

/** As many names as the hint lists. */
const MAX_LISTED = 10;

/**
 * For a listing that found nothing: `not_found`, reason `tenant.not_found` or `pool.not_found`, when what it was narrowed
 * to is not on the host, with what there is. Returns when it is there and has nothing.
 */
export async function refuseUnknown(context: CliContext, { tenantId, poolId }: Scope): Promise<void> {
  if (tenantId === undefined) return;
  const agentd = await context.agentd();
  const { tenants } = await agentd.listTenants({}, { signal: context.signal });
  const tenant = tenants.find(({ tenant_id }) => tenant_id === tenantId);
  if (tenant === undefined) {
    throw notFound(
      'tenant',
      tenantId,
      tenants.map(({ tenant_id }) => tenant_id),
    );
  }
  if (poolId === undefined || tenant.pools.some(({ pool_id }) => pool_id === poolId)) return;
  const pools = tenant.pools.map(({ pool_id }) => `${tenantId}/${pool_id}`);
  throw notFound('pool', `${tenantId}/${poolId}`, pools);
}

function notFound(kind: 'tenant' | 'pool', name: string, all: readonly string[]): CodedError {
  const listed = all.slice(0, MAX_LISTED).join(', ');
  const more = all.length > MAX_LISTED ? ` and ${all.length - MAX_LISTED} more` : '';
  return new CodedError({
    code: 'not_found',
    reason: `${kind}.not_found`,
    message: `there is no ${kind} ${name} on this host`,
    hint: all.length === 0 ? `there are no ${kind}s` : `there is: ${listed}${more}`,
  });
}
