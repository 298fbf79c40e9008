import type { PolicyPart } from '../../base-tables/base-table.js';
import type { TenantPolicies } from '../../types.js';

/** Where the present value of a part of a guest's policy comes from. */
export type PolicySource = 'pool' | 'tenant' | 'default';

/**
 * Where a part comes from, e.g. `deny[0]` or `limits.connections`: a pool's fields, and those of its limits, replace the
 * tenant's one by one; what both leave out is as by default. Source: docs/networking.md#policy.
 */
export function policySource(
  { field }: PolicyPart,
  { tenant, pools }: TenantPolicies,
  poolId: string | undefined,
): PolicySource {
  const [name = '', of = ''] = field.replace(/\[\d+\]$/, '').split('.');
  const says = (policy: object | undefined): boolean => {
    const value: unknown = Object.entries(policy ?? {}).find(([key]) => key === name)?.[1];
    return of === '' || value === undefined ? value !== undefined : Object.hasOwn(value as object, of);
  };
  if (poolId !== undefined && says(pools?.[poolId])) return 'pool';
  return says(tenant) ? 'tenant' : 'default';
}
