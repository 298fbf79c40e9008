import { CodedError } from '@mvm/protocol';
import { parseInstanceId, parsePoolId, parseTenantId } from '@mvm/protocol/names';

export interface PoolAddress {
  readonly tenantId: string;
  readonly poolId: string;
}

export interface InstanceAddress extends PoolAddress {
  readonly instanceId: string;
}

/** What a listing is narrowed to: everything, a tenant, or a pool. */
export interface Scope {
  readonly tenantId?: string | undefined;
  readonly poolId?: string | undefined;
}

/**
 * `<tenant>/<pool>/<instance>`, each part an id. Throws `invalid_argument`: reason `address.invalid` for the wrong
 * number of parts, `id.invalid` for a part that is no id.
 */
export function parseInstanceAddress(text: string): InstanceAddress {
  const [tenant, pool, instance] = split(text, 3, '<tenant>/<pool>/<instance>', 'mvm instance list -o name');
  return { ...parsePool(tenant, pool), instanceId: parseInstanceId(instance ?? '') };
}

/** `<tenant>/<pool>`; throws as {@link parseInstanceAddress} does. */
export function parsePoolAddress(text: string): PoolAddress {
  const [tenant, pool] = split(text, 2, '<tenant>/<pool>', 'mvm pool list -o name');
  return parsePool(tenant, pool);
}

/** `<tenant>` or `<tenant>/<pool>`, or nothing for everything; throws as {@link parseInstanceAddress} does. */
export function parseScope(text: string | undefined): Scope {
  if (text === undefined) return {};
  if (!text.includes('/')) return { tenantId: parseTenantId(text) };
  return parsePoolAddress(text);
}

/** The address of anything that carries its ids in the contract's spelling. */
export function formatAddress(object: {
  readonly tenant_id: string;
  readonly pool_id?: string | null | undefined;
  readonly instance_id?: string | null | undefined;
}): string {
  return [object.tenant_id, object.pool_id, object.instance_id].filter((part) => part != null).join('/');
}

/** `<tenant>/<pool>/<instance>` for an instance's address. */
export function nameOf({ tenantId, poolId, instanceId }: InstanceAddress): string {
  return `${tenantId}/${poolId}/${instanceId}`;
}

/** Order of listings: by tenant, pool, instance, each by code unit. */
export function compareAddresses(
  a: Parameters<typeof formatAddress>[0],
  b: Parameters<typeof formatAddress>[0],
): number {
  return (
    compare(a.tenant_id, b.tenant_id) ||
    compare(a.pool_id ?? '', b.pool_id ?? '') ||
    compare(a.instance_id ?? '', b.instance_id ?? '')
  );
}

function parsePool(tenant: string | undefined, pool: string | undefined): PoolAddress {
  return { tenantId: parseTenantId(tenant ?? ''), poolId: parsePoolId(pool ?? '') };
}

function split(text: string, parts: number, form: string, listing: string): string[] {
  const found = text.split('/');
  if (found.length === parts) return found;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'address.invalid',
    message: `${JSON.stringify(text.slice(0, 200))} is not an address of the form ${form}`,
    hint: `${listing} shows the addresses that there are`,
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
