import type { TenantPolicies } from '@mvm/net-executor';

/** Whether two tenants' policies are the same. Records keep the order in which fields were given. */
export function samePolicies(a: TenantPolicies, b: TenantPolicies): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
