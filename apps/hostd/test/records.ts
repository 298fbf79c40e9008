import { deriveTenantNet } from '@mvm/protocol/names';
import { planCreate } from '../src/plan/plan-create.js';
import { DEFAULT_QUOTAS } from '../src/plan/plan-tenant.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../src/state/records.js';

/** The time that planners are given in tests. */
export const NOW = '2026-11-23T00:00:00.000Z';

/** Digest of an image that exists only in plans. */
export const DIGEST = `sha256:${'a'.repeat(64)}`;

/** A tenant whose network is up. */
export function tenantRecord(over: Partial<TenantRecord> = {}): TenantRecord {
  return {
    tenant_id: 'acme',
    quotas: { ...DEFAULT_QUOTAS },
    net: deriveTenantNet(3, '10.240.3.0/24'),
    created_at: NOW,
    network_up: true,
    ...over,
  };
}

/** A pool with an image. */
export function poolRecord(over: Partial<PoolRecord> = {}): PoolRecord {
  return {
    tenant_id: 'acme',
    pool_id: 'workers',
    flake_ref: 'demo',
    profile: 'minimal',
    role: 'worker',
    instance_resources: { vcpus: 2, mem_mib: 256, data_disk_mib: 64 },
    desired_counts: { running: 0, warm: 0, sleeping: 0 },
    runtime_policy: {
      min_running_seconds: 60,
      min_warm_seconds: 30,
      drain_timeout_seconds: 30,
      graceful_shutdown_seconds: 15,
    },
    seccomp_policy: 'baseline',
    snapshot_compression: 'none',
    secret_scopes: [],
    image: { name: 'demo', digest: DIGEST },
    ...over,
  };
}

/** An instance as `planCreate` makes it, ready. */
export function instanceRecord(over: Partial<InstanceRecord> = {}): InstanceRecord {
  const plan = planCreate(
    {
      tenant: tenantRecord(),
      pool: poolRecord(),
      instanceId: over.instance_id ?? 'i-00000001',
      instances: [],
      dataDiskMibOf: () => 0,
    },
    { now: NOW },
  );
  const step = plan.steps[0];
  if (step?.kind !== 'instance.create') throw new Error('a creation has no instance.create');
  return { ...step.record, ...over };
}
