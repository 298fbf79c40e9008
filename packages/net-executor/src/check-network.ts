import {
  CodedError,
  type CodedErrorInit,
  checkTenantNet,
  cidrOverlaps,
  instanceIp,
  macAddress,
  parseIpv4Cidr,
  parseTapName,
  type TenantNet,
} from '@mvm/protocol';
import { uidText } from './grammar.js';
import { checkPolicy } from './policy.js';
import type { DesiredHostNetwork, InstancePort } from './types.js';

function invalid(reason: string, message: string, hint: string): CodedError {
  const init: CodedErrorInit = { code: 'invalid_argument', reason: `net.${reason}`, message, hint };
  return new CodedError(init);
}

/**
 * Whether a port belongs to a tenant's network: TAP name of this net id, MAC and address that follow from its offset, a
 * uid that exists and is not root's. Throws `invalid_argument`: `net.port_mismatch`, `net.offset_out_of_range`,
 * `net.unsafe_text`.
 */
export function checkPort(net: TenantNet, port: InstancePort): void {
  const parsed = typeof port.tapName === 'string' ? parseTapName(port.tapName) : null;
  if (parsed === null || parsed.netId !== net.tenant_net_id) {
    throw invalid(
      'port_mismatch',
      `a port's TAP name does not belong to tenant net id ${net.tenant_net_id}`,
      `Name it tn${net.tenant_net_id}i<offset>.`,
    );
  }
  const mac = macAddress(parsed.netId, parsed.ipOffset);
  const ipv4 = instanceIp(net, parsed.ipOffset);
  if (port.mac !== mac || port.ipv4 !== ipv4) {
    throw invalid(
      'port_mismatch',
      `MAC and address of ${port.tapName} do not follow from its name`,
      `Use ${mac} and ${ipv4}.`,
    );
  }
  if (uidText(port.ownerUid) === '0') {
    throw invalid(
      'port_mismatch',
      `${port.tapName} would belong to root`,
      'Run every VMM under a uid of its own.',
    );
  }
}

/**
 * Whether everything wanted is sound by itself and together: each tenant's network by `checkTenantNet`, each port by
 * `checkPort`, no net id twice, no overlapping subnets, no port and no published port twice. Throws `invalid_argument` as those do;
 * `already_exists`, reason `net.clash`, for two that exclude each other.
 */
export function checkDesiredNetwork(desired: DesiredHostNetwork, clusterCidr: string): void {
  const seen = new Map<number, string>();
  const published = new Set<string>();
  const subnets = desired.tenants.map(({ net, ports, policy }) => {
    checkTenantNet(net, clusterCidr);
    checkPolicy(net, policy);
    for (const { protocol, hostPort } of policy?.publish ?? []) {
      if (published.has(`${protocol} ${hostPort}`))
        throw clash(`${protocol} port ${hostPort} is published twice`);
      published.add(`${protocol} ${hostPort}`);
    }
    for (const port of ports) checkPort(net, port);
    if (new Set(ports.map((port) => port.tapName)).size !== ports.length || seen.has(net.tenant_net_id)) {
      throw clash(`tenant net id ${net.tenant_net_id}, or a port of it, is wanted twice`);
    }
    seen.set(net.tenant_net_id, net.ipv4_subnet);
    return parseIpv4Cidr(net.ipv4_subnet);
  });
  const sorted = subnets.toSorted((a, b) => a.network - b.network);
  for (const [i, subnet] of sorted.entries()) {
    const next = sorted[i + 1];
    if (next !== undefined && cidrOverlaps(subnet, next))
      throw clash('two tenants would have overlapping subnets');
  }
}

function clash(message: string): CodedError {
  return new CodedError({
    code: 'already_exists',
    reason: 'net.clash',
    message,
    hint: 'Give each tenant a tenant_net_id and a subnet of its own; `mvm tenant list` shows those in use.',
  });
}
