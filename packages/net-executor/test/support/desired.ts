import type { TenantNet } from '@mvm/protocol';
import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol/names';
import type { InstancePort } from '../../src/index.js';

export const CLUSTER_CIDR = '10.240.0.0/12';

/** Tenant `netId`'s network, 10.240.<netId>.0/24. */
export function tenantNet(netId: number): TenantNet {
  return deriveTenantNet(netId, `10.${240 + (netId >> 8)}.${netId & 255}.0/24`);
}

/** An instance's port, owned by a uid of its own; of pool `poolId`, as instance `i-<offset>` of it, when there is one. */
export function instancePort(net: TenantNet, offset: number, poolId?: string): InstancePort {
  const netId = net.tenant_net_id;
  return {
    ...(poolId === undefined ? {} : { poolId, instanceId: `i-${offset}` }),
    tapName: tapName(netId, offset),
    mac: macAddress(netId, offset),
    ipv4: instanceIp(net, offset),
    ownerUid: 1_900_000_000 + netId * 256 + offset,
  };
}
