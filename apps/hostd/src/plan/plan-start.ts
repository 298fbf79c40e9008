import {
  assertTransition,
  CodedError,
  type InstanceResources,
  MAX_TENANT_NET_ID,
  parseIpv4Cidr,
  parseTapName,
} from '@mvm/protocol';
import type { CgroupLimits, GuestConfig, Plan, PlannedImage, PortArgs } from '../execute/step.js';
import type { InstanceRecord, TenantRecord } from '../state/records.js';

/** What the tenant's instances use while they run, or are about to. */
export interface RunningUsage {
  readonly running: number;
  readonly vcpus: number;
  readonly memMib: number;
}

export interface StartInput {
  readonly tenant: TenantRecord;
  readonly instance: InstanceRecord;
  /** The pool's present resources: what this start gives. */
  readonly resources: InstanceResources;
  readonly image: PlannedImage;
  /** Of the pool: which of the tenant's secrets the guest gets. Empty: none, and no drive for them. */
  readonly secretScopes: readonly string[];
  /** Without this instance. */
  readonly usage: RunningUsage;
  readonly vmUidBase: number;
  readonly accelerator: 'kvm' | 'tcg';
}

const MIB = 1_048_576;
/** What a VMM needs beside the guest's memory: its own code and buffers; under TCG also the translated code. */
const VMM_OVERHEAD_MIB = { kvm: 192, tcg: 512 } as const;
/** Threads of a VMM beside its vCPUs: main loop, disk workers, housekeeping. */
const VMM_THREADS = 64;
const GUEST_MTU = 1500;

/** The uid (and gid) that an instance's VMM runs as: never shared by two instances of a host. */
export function vmUid(base: number, netId: number, ipOffset: number): number {
  return base + 256 * netId + ipOffset;
}

/** All ids that VMs can have: those of every net id and every offset. */
export function vmUidRange(base: number): { readonly first: number; readonly last: number } {
  return { first: vmUid(base, 0, 0), last: vmUid(base, MAX_TENANT_NET_ID, 255) };
}

/** The instance's port. Throws `failed_precondition`, reason `instance.no_address`, when none was ever assigned. */
export function instancePort(instance: InstanceRecord, vmUidBase: number): PortArgs {
  const tap = instance.net == null ? null : parseTapName(instance.net.tap_dev);
  if (instance.net == null || tap === null) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'instance.no_address',
      message: `instance ${instance.instance_id} has no address`,
      hint: 'Destroy it and create it again.',
    });
  }
  const { tap_dev, mac, guest_ip } = instance.net;
  return {
    tapName: tap_dev,
    mac,
    ipv4: guest_ip,
    ownerUid: vmUid(vmUidBase, tap.netId, tap.ipOffset),
    poolId: instance.pool_id,
    instanceId: instance.instance_id,
  };
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

/** What the guest is told of itself. Pure. */
export function guestConfig(tenant: TenantRecord, instance: InstanceRecord, port: PortArgs): GuestConfig {
  const { prefixLength } = parseIpv4Cidr(tenant.net.ipv4_subnet);
  const { tenant_id, pool_id, instance_id, role } = instance;
  return {
    tenant_id,
    pool_id,
    instance_id,
    role,
    hostname: instance_id,
    net: {
      address: `${port.ipv4}/${prefixLength}`,
      gateway: tenant.net.gateway_ip,
      mac: port.mac,
      mtu: GUEST_MTU,
    },
  };
}

/** The cgroup that an instance of these resources gets. Pure. */
export function cgroupLimits(
  resources: Pick<InstanceResources, 'vcpus' | 'mem_mib'>,
  accelerator: 'kvm' | 'tcg',
): CgroupLimits {
  return {
    memoryMaxBytes: (resources.mem_mib + VMM_OVERHEAD_MIB[accelerator]) * MIB,
    cpuMaxPercent: resources.vcpus * 100,
    pidsMax: resources.vcpus + VMM_THREADS,
  };
}

/** Throws `instance.invalid_transition` when an instance cannot be started; one that is created is made ready on the way. */
export function assertStartable({ status }: Pick<InstanceRecord, 'status'>): void {
  assertTransition(status === 'created' ? assertTransition(status, 'prepare') : status, 'start');
}

/**
 * Steps of a fresh boot. Pure. Throws `instance.invalid_transition`, `instance.no_address`, `tenant.network_down` and
 * `quota.exceeded`. The VM is launched paused, recorded, and only then let run; the last step is the commit.
 */
export function planStart(input: StartInput, context: { readonly now: string }): Plan {
  const { tenant, instance, resources, image } = input;
  assertStartable(instance);
  if (tenant.network_up === false) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.network_down',
      message: `the network of tenant ${tenant.tenant_id} is not set up`,
      hint: 'Send SetupNetwork (or apply the desired state again) first.',
    });
  }
  checkRunningQuota(tenant, input.usage, resources);
  const port = instancePort(instance, input.vmUidBase);
  const { tenant_id, pool_id, instance_id } = instance;
  const address = { tenant_id, pool_id, instance_id };
  const vmId = port.tapName;
  const scopes = [...input.secretScopes];
  const hasSecrets = scopes.length > 0;
  const dataDiskMib = instance.data_disk_mib ?? resources.data_disk_mib;
  const { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name } = tenant.net;
  const net = { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name };
  return {
    operation: 'start',
    address,
    onFailure: 'undo',
    steps: [
      {
        kind: 'image.activate',
        pool: { tenant_id, pool_id },
        image: { name: image.name, digest: image.digest },
      },
      ...(instance.status === 'created' ? [{ kind: 'instance.prepare', address } as const] : []),
      { kind: 'runtime.create', address, vmId },
      { kind: 'config_drive.build', address, config: guestConfig(tenant, instance, port) },
      ...(hasSecrets ? [{ kind: 'secrets_drive.build', address, vmId, scopes } as const] : []),
      ...(dataDiskMib > 0 ? [{ kind: 'data_disk.ensure', address, sizeMib: dataDiskMib } as const] : []),
      {
        kind: 'cgroup.create',
        name: vmId,
        limits: cgroupLimits(resources, input.accelerator),
      },
      { kind: 'port.attach', net, port },
      {
        kind: 'vm.launch',
        address,
        vmId,
        image,
        vcpus: resources.vcpus,
        memMib: resources.mem_mib,
        hasDataDisk: dataDiskMib > 0,
        ...(hasSecrets ? { hasSecretsDrive: true } : {}),
        mac: port.mac,
        uid: port.ownerUid,
        accelerator: input.accelerator,
      },
      { kind: 'vm.record', address, vmId },
      { kind: 'vm.resume', vmId },
      {
        kind: 'instance.commit_running',
        address,
        image,
        resources,
        at: context.now,
        ...(hasSecrets ? { secretsEpoch: tenant.secrets_epoch ?? 0 } : {}),
      },
    ],
  };
}
