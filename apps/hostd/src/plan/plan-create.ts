import { CodedError } from '@mvm/protocol';
import {
  FIRST_INSTANCE_IP_OFFSET,
  instanceIp,
  lastInstanceIpOffset,
  macAddress,
  parseTapName,
  tapName,
} from '@mvm/protocol/names';
import type { StepPlan } from '../execute/step.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';

export interface CreateInput {
  readonly tenant: TenantRecord;
  readonly pool: PoolRecord;
  readonly instanceId: string;
  /** All instances of the tenant. */
  readonly instances: readonly InstanceRecord[];
  /** Size of an instance's data volume, for those whose record does not say: the pool's. */
  readonly dataDiskMibOf: (instance: InstanceRecord) => number;
}

const MIB_PER_GIB = 1024;

function exceeded(tenantId: string, quota: string, limit: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'quota.exceeded',
    message: `one more instance would exceed ${quota} (${limit}) of tenant ${tenantId}`,
    hint: 'Destroy an instance, or raise the quota and apply it.',
    details: { tenant: tenantId, quota, limit },
  });
}

/** The lowest offset that no instance of the tenant has. Throws `resource_exhausted`, reason `net.addresses_exhausted`. */
function freeOffset(tenant: TenantRecord, instances: readonly InstanceRecord[]): number {
  const taken = new Set(
    instances.flatMap((instance) => parseTapName(instance.net?.tap_dev ?? '')?.ipOffset ?? []),
  );
  for (let offset = FIRST_INSTANCE_IP_OFFSET; offset <= lastInstanceIpOffset(tenant.net); offset++) {
    if (!taken.has(offset)) return offset;
  }
  throw new CodedError({
    code: 'resource_exhausted',
    reason: 'net.addresses_exhausted',
    message: `every address of ${tenant.net.ipv4_subnet} belongs to an instance of tenant ${tenant.tenant_id}`,
    hint: 'Destroy instances that are not needed any more.',
  });
}

/**
 * Steps of a creation: the record, with address, TAP and MAC fixed for the instance's life. Pure. Throws
 * `instance.exists`, `quota.exceeded` (instances per pool, disk) and `net.addresses_exhausted`.
 */
export function planCreate(input: CreateInput, context: { readonly now: string }): StepPlan {
  const { tenant, pool, instanceId, instances } = input;
  const inPool = instances.filter((instance) => instance.pool_id === pool.pool_id);
  if (inPool.some((instance) => instance.instance_id === instanceId)) {
    throw new CodedError({
      code: 'already_exists',
      reason: 'instance.exists',
      message: `instance ${tenant.tenant_id}/${pool.pool_id}/${instanceId} exists already`,
      hint: 'Leave the id out to get a new one.',
    });
  }
  const { max_instances_per_pool, max_disk_gib } = tenant.quotas;
  if (inPool.length + 1 > max_instances_per_pool) {
    throw exceeded(tenant.tenant_id, 'max_instances_per_pool', max_instances_per_pool);
  }
  const dataDiskMib = pool.instance_resources.data_disk_mib;
  const diskMib = instances.reduce((sum, instance) => sum + input.dataDiskMibOf(instance), dataDiskMib);
  if (diskMib > max_disk_gib * MIB_PER_GIB) throw exceeded(tenant.tenant_id, 'max_disk_gib', max_disk_gib);
  const offset = freeOffset(tenant, instances);
  const netId = tenant.net.tenant_net_id;
  const record: InstanceRecord = {
    instance_id: instanceId,
    pool_id: pool.pool_id,
    tenant_id: tenant.tenant_id,
    status: pool.image == null ? 'created' : 'ready',
    net: {
      tap_dev: tapName(netId, offset),
      mac: macAddress(netId, offset),
      guest_ip: instanceIp(tenant.net, offset),
      gateway_ip: tenant.net.gateway_ip,
      cidr: tenant.net.ipv4_subnet,
    },
    role: pool.role,
    revision_hash: null,
    firecracker_pid: null,
    last_started_at: null,
    last_stopped_at: null,
    idle_metrics: null,
    healthy: null,
    last_health_check_at: null,
    manual_override_until: null,
    config_version: tenant.config_version ?? null,
    secrets_epoch: tenant.secrets_epoch ?? null,
    entered_running_at: null,
    entered_warm_at: null,
    last_busy_at: null,
    created_at: context.now,
    data_disk_mib: dataDiskMib,
    running_with: null,
    stop_reason: null,
    vm: null,
  };
  return { operation: 'create', onFailure: 'undo', steps: [{ kind: 'instance.create', record }] };
}
