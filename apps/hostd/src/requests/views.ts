import type { InstanceNet, InstanceView, PoolView, TenantNet, TenantView } from '@mvm/protocol';
import { programOf } from '../disk/run-overrides.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import type { RequestServices } from './handler.js';

function netView({ tenant_net_id, ipv4_subnet, gateway_ip, bridge_name }: TenantNet): TenantNet {
  return { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name };
}

/** A tenant as it crosses the socket: known fields only. */
export function tenantView(record: TenantRecord): TenantView {
  const q = record.quotas;
  return {
    tenant_id: record.tenant_id,
    net: netView(record.net),
    network_up: record.network_up !== false,
    quotas: {
      max_vcpus: q.max_vcpus,
      max_mem_mib: q.max_mem_mib,
      max_running: q.max_running,
      max_warm: q.max_warm,
      max_pools: q.max_pools,
      max_instances_per_pool: q.max_instances_per_pool,
      max_disk_gib: q.max_disk_gib,
    },
    ...(record.policy === undefined ? {} : { policy: record.policy }),
    ...(record.secrets_epoch === undefined ? {} : { secrets_epoch: record.secrets_epoch }),
    created_at: record.created_at,
  };
}

/** A pool as it crosses the socket: known fields only. */
export function poolView(record: PoolRecord): PoolView {
  const { vcpus, mem_mib, data_disk_mib } = record.instance_resources;
  return {
    tenant_id: record.tenant_id,
    pool_id: record.pool_id,
    flake_ref: record.flake_ref,
    profile: record.profile,
    role: record.role,
    instance_resources: { vcpus, mem_mib, data_disk_mib },
    desired_counts: record.desired_counts,
    runtime_policy: record.runtime_policy,
    seccomp_policy: record.seccomp_policy,
    snapshot_compression: record.snapshot_compression,
    secret_scopes: record.secret_scopes,
    ...(record.network_policy === undefined ? {} : { network_policy: record.network_policy }),
    ...programOf(record),
    image: record.image ?? null,
  };
}

/** Since when an instance is in its state, as the record tells. */
function statusSince(record: InstanceRecord): string | null {
  const { created_at, entered_running_at, entered_warm_at, last_started_at, last_stopped_at } = record;
  switch (record.status) {
    case 'running':
      return entered_running_at ?? last_started_at ?? null;
    case 'warm':
      return entered_warm_at ?? null;
    case 'sleeping':
    case 'stopped':
      return last_stopped_at ?? null;
    default:
      return created_at ?? null;
  }
}

/** An instance's place in its tenant's network: the fields that are shown; records may have others. */
export function instanceNetView(net: InstanceRecord['net']): InstanceNet | null {
  if (net == null) return null;
  const { tap_dev, mac, guest_ip, gateway_ip, cidr } = net;
  return { tap_dev, mac, guest_ip, gateway_ip, cidr };
}

/** Of an instance whose VM is watched and runs; nothing while it is awaited. */
function lifeView(
  { status, vm }: InstanceRecord,
  { ports }: RequestServices,
): Pick<InstanceView, 'sign_of_life'> {
  const sign = vm == null || status !== 'running' ? null : ports.vms.get(vm.spec.vmId)?.life.sign;
  return sign == null ? {} : { sign_of_life: sign };
}

/**
 * An instance as it crosses the socket. `resources` and `image` are those that it runs with; of one that does not run,
 * those that its next start would give. Times are by the wall clock as it is set now.
 */
export function instanceView(saved: InstanceRecord, services: RequestServices): InstanceView {
  const { store } = services.ports;
  const record = store.onPresentClock(saved);
  const pool = store.pool(record);
  const { vcpus, mem_mib, data_disk_mib } = record.running_with?.resources ??
    pool?.instance_resources ?? { vcpus: 1, mem_mib: 64, data_disk_mib: 0 };
  return {
    tenant_id: record.tenant_id,
    pool_id: record.pool_id,
    instance_id: record.instance_id,
    status: record.status,
    status_since: statusSince(record),
    role: record.role,
    net: instanceNetView(record.net),
    image: record.running_with?.image ?? pool?.image ?? null,
    resources: { vcpus, mem_mib, data_disk_mib: record.data_disk_mib ?? data_disk_mib },
    pid: record.firecracker_pid ?? null,
    created_at: record.created_at ?? null,
    last_started_at: record.last_started_at ?? null,
    last_stopped_at: record.last_stopped_at ?? null,
    stop_reason: record.stop_reason ?? null,
    ...(record.exit_count === undefined ? {} : { exit_count: record.exit_count }),
    ...(record.last_exit == null ? {} : { last_exit: { ...record.last_exit, console_tail: '' } }),
    operation: services.runner.operationOf(record),
    ...lifeView(record, services),
  };
}
