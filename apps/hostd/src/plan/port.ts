import { CodedError, type TenantNet } from '@mvm/protocol';
import { MAX_TENANT_NET_ID, parseIpv4Cidr, parseTapName } from '@mvm/protocol/names';
import type { GuestConfig, PortArgs } from '../execute/step.js';
import type { InstanceRecord, TenantRecord } from '../state/records.js';

const GUEST_MTU = 1500;

/** A network without what a record may hold besides. */
export function plainNet({ tenant_net_id, ipv4_subnet, gateway_ip, bridge_name }: TenantNet): TenantNet {
  return { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name };
}

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

/**
 * The port of an instance whose VM runs or may run, for reconciling the network; null when it has none. Between the
 * record of a VM and the commit of its start or wake, its status does not tell yet.
 */
export function recordedPort(instance: InstanceRecord, vmUidBase: number): PortArgs | null {
  const mayRun = instance.vm != null || ['running', 'warm'].includes(instance.status);
  return mayRun && instance.net != null ? instancePort(instance, vmUidBase) : null;
}

/** The guest's own description, for its config drive. Pure. */
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
