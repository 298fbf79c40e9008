import type { HostdClient } from '@mvm/hostd-client';
import type { DesiredCounts, PoolSpec, Quotas } from '@mvm/protocol';
import { deriveTenantNet } from '@mvm/protocol/names';
import { DEFAULT_QUOTAS } from '../src/plan/plan-tenant.js';

/** The network that belongs to a net id. */
export const netOf = (netId: number): ReturnType<typeof deriveTenantNet> =>
  deriveTenantNet(netId, `10.${240 + (netId >> 8)}.${netId & 255}.0/24`);

const noCounts: DesiredCounts = { running: 0, warm: 0, sleeping: 0 };

/** A pool of small instances. */
export function poolSpec(over: Partial<PoolSpec> = {}): PoolSpec {
  return {
    flake_ref: 'demo',
    profile: 'minimal',
    role: 'worker',
    instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 32 },
    desired_counts: noCounts,
    runtime_policy: {
      min_running_seconds: 60,
      min_warm_seconds: 30,
      drain_timeout_seconds: 30,
      graceful_shutdown_seconds: 15,
    },
    seccomp_policy: 'baseline',
    snapshot_compression: 'none',
    secret_scopes: [],
    ...over,
  };
}

/** A recorded tenant with one pool `workers`. */
export async function ensureTenantAndPool(
  client: HostdClient,
  tenantId: string,
  netId: number,
  over: { quotas?: Partial<Quotas>; spec?: Partial<PoolSpec> } = {},
): Promise<void> {
  const quotas = { ...DEFAULT_QUOTAS, ...over.quotas };
  await client.request({ type: 'EnsureTenant', tenant_id: tenantId, net: netOf(netId), quotas });
  await client.request({
    type: 'EnsurePool',
    tenant_id: tenantId,
    pool_id: 'workers',
    spec: poolSpec(over.spec),
  });
}
