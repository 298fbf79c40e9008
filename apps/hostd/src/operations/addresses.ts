import { parseInstanceId, parsePoolId, parseTenantId } from '@mvm/protocol/names';
import type { InstanceAddress, PoolAddress } from '../state/layout.js';

/** The pool that a request names. Throws `id.invalid`, with `Tenant` or `Pool` in the message. */
export function parsePoolAddress(request: { tenant_id: string; pool_id: string }): PoolAddress {
  return { tenant_id: parseTenantId(request.tenant_id), pool_id: parsePoolId(request.pool_id) };
}

/** The instance that a request names. Throws `id.invalid`, with `Tenant`, `Pool` or `Instance` in the message. */
export function parseInstanceAddress(request: {
  tenant_id: string;
  pool_id: string;
  instance_id: string;
}): InstanceAddress {
  return { ...parsePoolAddress(request), instance_id: parseInstanceId(request.instance_id) };
}
