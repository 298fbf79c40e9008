import { CodedError, type ErrorDetails, quoteForMessage } from '@mvm/errors';
import type { TenantNet } from '../tenant-net.js';
import {
  FIRST_INSTANCE_IP_OFFSET,
  GATEWAY_IP_OFFSET,
  LAST_INSTANCE_IP_OFFSET,
  MAX_TENANT_NET_ID,
  RESERVED_IP_OFFSET,
} from './constants.js';
import { cidrContains, formatIpv4, formatIpv4Cidr, type Ipv4Cidr, parseIpv4Cidr } from './ipv4.js';
import { bridgeName } from './link-names.js';

/** A tenant's subnet is no larger than this. */
const MIN_TENANT_PREFIX_LENGTH = 16;
/** A tenant's subnet is no smaller than this: a /29 has room for the gateway, the builder and four instances. */
const MAX_TENANT_PREFIX_LENGTH = 29;

function netError(reason: string, message: string, hint: string, details?: ErrorDetails): CodedError {
  return new CodedError({ code: 'invalid_argument', reason: `net.${reason}`, message, hint, details });
}

function parseSubnet(netId: number, ipv4Subnet: string): Ipv4Cidr {
  if (!Number.isInteger(netId) || netId < 0 || netId > MAX_TENANT_NET_ID) {
    throw netError(
      'id_out_of_range',
      `tenant net id ${String(netId)} is out of range`,
      `Choose a tenant_net_id in 0…${MAX_TENANT_NET_ID}.`,
    );
  }
  const subnet = parseIpv4Cidr(ipv4Subnet);
  if (subnet.prefixLength < MIN_TENANT_PREFIX_LENGTH || subnet.prefixLength > MAX_TENANT_PREFIX_LENGTH) {
    throw netError(
      'prefix_out_of_range',
      `subnet ${ipv4Subnet} has prefix length ${subnet.prefixLength}`,
      `Choose a prefix length in ${MIN_TENANT_PREFIX_LENGTH}…${MAX_TENANT_PREFIX_LENGTH}.`,
      { prefix_length: subnet.prefixLength },
    );
  }
  return subnet;
}

/**
 * The one TenantNet that follows from a net id and a subnet: gateway at offset 1, bridge `br-tenant-<net id>`.
 * Throws `invalid_argument`: `net.id_out_of_range` (0…4095), `net.invalid_cidr` (not canonical),
 * `net.prefix_out_of_range` (16…29).
 */
export function deriveTenantNet(netId: number, ipv4Subnet: string): TenantNet {
  const subnet = parseSubnet(netId, ipv4Subnet);
  return {
    tenant_net_id: netId,
    ipv4_subnet: formatIpv4Cidr(subnet),
    gateway_ip: formatIpv4(subnet.network + GATEWAY_IP_OFFSET),
    bridge_name: bridgeName(netId),
  };
}

/**
 * The second, semantic check of a TenantNet, which hostd always applies: exactly what `deriveTenantNet` makes of its
 * net id and subnet, with the subnet inside `clusterCidr`. After it, every field is safe in an argument of `ip` and in
 * an nft script. Throws `invalid_argument`: the reasons of `deriveTenantNet`, `net.subnet_outside_cluster`,
 * `net.gateway_mismatch`, `net.bridge_mismatch`. Source: docs/protocol.md#tenantnet.
 */
export function checkTenantNet(net: TenantNet, clusterCidr: string): void {
  const derived = deriveTenantNet(net.tenant_net_id, net.ipv4_subnet);
  const cluster = parseIpv4Cidr(clusterCidr);
  if (!cidrContains(cluster, parseIpv4Cidr(net.ipv4_subnet))) {
    throw netError(
      'subnet_outside_cluster',
      `subnet ${derived.ipv4_subnet} is not inside the cluster's range ${formatIpv4Cidr(cluster)}`,
      `Choose a subnet inside ${formatIpv4Cidr(cluster)}, or change the host's cluster range.`,
      { ipv4_subnet: derived.ipv4_subnet, cluster_cidr: formatIpv4Cidr(cluster) },
    );
  }
  if (net.gateway_ip !== derived.gateway_ip) {
    throw netError(
      'gateway_mismatch',
      `gateway ${quoteForMessage(net.gateway_ip)} is not the first usable address of ${derived.ipv4_subnet}`,
      `Use ${derived.gateway_ip}.`,
      { expected: derived.gateway_ip },
    );
  }
  if (net.bridge_name !== derived.bridge_name) {
    throw netError(
      'bridge_mismatch',
      `bridge name ${quoteForMessage(net.bridge_name)} does not follow from tenant net id ${net.tenant_net_id}`,
      `Use ${derived.bridge_name}.`,
      { expected: derived.bridge_name },
    );
  }
}

/** The largest offset that an instance may have in this subnet: 254, or less in one smaller than a /24. */
export function lastInstanceIpOffset(net: TenantNet): number {
  return Math.min(LAST_INSTANCE_IP_OFFSET, parseIpv4Cidr(net.ipv4_subnet).size - 2);
}

/** The address at the reserved offset 2 of a checked TenantNet; no instance has it. */
export function reservedIp(net: TenantNet): string {
  return formatIpv4(parseIpv4Cidr(net.ipv4_subnet).network + RESERVED_IP_OFFSET);
}

/**
 * An instance's address: subnet base + offset. The offset is 3…`lastInstanceIpOffset(net)`, else `invalid_argument`,
 * reason `net.offset_out_of_range`.
 */
export function instanceIp(net: TenantNet, ipOffset: number): string {
  const last = lastInstanceIpOffset(net);
  if (!Number.isInteger(ipOffset) || ipOffset < FIRST_INSTANCE_IP_OFFSET || ipOffset > last) {
    throw netError(
      'offset_out_of_range',
      `IP offset ${String(ipOffset)} has no instance address in ${quoteForMessage(net.ipv4_subnet)}`,
      `Instances have the offsets ${FIRST_INSTANCE_IP_OFFSET}…${last}.`,
    );
  }
  return formatIpv4(parseIpv4Cidr(net.ipv4_subnet).network + ipOffset);
}
