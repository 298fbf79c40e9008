import { CodedError, type InstanceResources } from '@mvm/protocol';
import type { TenantRecord } from '../state/records.js';

/** What the tenant's instances use while they run, or are about to. */
export interface RunningUsage {
  readonly running: number;
  readonly vcpus: number;
  readonly memMib: number;
}

function exhausted(tenant: TenantRecord, quota: string, limit: number, wanted: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'quota.exceeded',
    message: `tenant ${tenant.tenant_id} would need ${quota} ${wanted}, its quota is ${limit}`,
    hint: 'Stop another instance of the tenant, or raise the quota and apply it.',
    details: { tenant: tenant.tenant_id, quota, limit, wanted },
  });
}

/** Throws `resource_exhausted`, reason `quota.exceeded`, when one more running instance is one too many. */
export function checkRunningQuota(tenant: TenantRecord, usage: RunningUsage, more: InstanceResources): void {
  const { max_running, max_vcpus, max_mem_mib } = tenant.quotas;
  if (usage.running + 1 > max_running) throw exhausted(tenant, 'max_running', max_running, usage.running + 1);
  const vcpus = usage.vcpus + more.vcpus;
  if (vcpus > max_vcpus) throw exhausted(tenant, 'max_vcpus', max_vcpus, vcpus);
  const memMib = usage.memMib + more.mem_mib;
  if (memMib > max_mem_mib) throw exhausted(tenant, 'max_mem_mib', max_mem_mib, memMib);
}

/** Throws `resource_exhausted`, reason `quota.exceeded`, when one more warm instance beside `warm` is one too many. */
export function checkWarmQuota(tenant: TenantRecord, warm: number): void {
  const { max_warm } = tenant.quotas;
  if (warm + 1 > max_warm) throw exhausted(tenant, 'max_warm', max_warm, warm + 1);
}

/** Throws `failed_precondition`, reason `tenant.network_down`. */
export function requireNetworkUp(tenant: TenantRecord): void {
  if (tenant.network_up !== false) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'tenant.network_down',
    message: `the network of tenant ${tenant.tenant_id} is not set up`,
    hint: 'Send SetupNetwork (or apply the desired state again) first.',
  });
}
