import { type DesiredState, parseDesiredState } from '@mvm/protocol/state';

/** Quotas that limit nothing. */
export const ROOMY = {
  max_vcpus: 1000,
  max_mem_mib: 1_000_000,
  max_running: 1000,
  max_warm: 1000,
  max_pools: 100,
  max_instances_per_pool: 1000,
  max_disk_gib: 10_000,
};

interface PoolInit {
  readonly running: number;
  readonly warm?: number;
  readonly sleeping?: number;
  readonly [field: string]: unknown;
}

/** A pool called `id` with as many instances as `running`, `warm` and `sleeping` say; other fields as in the desired state. */
export function desiredPool(
  id: string,
  { running, warm = 0, sleeping = 0, ...fields }: PoolInit,
): Record<string, unknown> {
  return {
    pool_id: id,
    flake_ref: 'demo',
    instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 },
    desired_counts: { running, warm, sleeping },
    runtime_policy: { min_running_seconds: 0, min_warm_seconds: 0 },
    ...fields,
  };
}

/** A tenant whose network follows from its number, 0…4095. */
export function desiredTenant(
  id: string,
  number: number,
  pools: readonly Record<string, unknown>[],
  quotas: Partial<typeof ROOMY> = {},
): Record<string, unknown> {
  return {
    tenant_id: id,
    network: {
      tenant_net_id: number,
      ipv4_subnet: `10.${240 + Math.floor(number / 256)}.${number % 256}.0/24`,
    },
    quotas: { ...ROOMY, ...quotas },
    pools,
  };
}

/** A whole desired state, checked as agentd checks it. */
export function desiredState(
  tenants: readonly unknown[],
  fields: Record<string, unknown> = {},
): DesiredState {
  return parseDesiredState({ schema_version: 1, node_id: 'node-1', tenants, ...fields });
}
