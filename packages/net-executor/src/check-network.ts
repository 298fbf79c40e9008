import { CodedError, type CodedErrorInit, type TenantNet } from '@mvm/protocol';
import {
  checkTenantNet,
  cidrOverlaps,
  type Ipv4Cidr,
  instanceIp,
  macAddress,
  parseIpv4Cidr,
  parsePoolId,
  parseTapName,
  RESERVED_IP_OFFSET,
  reservedIp,
} from '@mvm/protocol/names';
import { checkNetworkPolicy } from '@mvm/protocol/state';
import { uidText } from './grammar.js';
import type { DesiredHostNetwork, DesiredTenantNetwork, InstancePort, TenantPolicies } from './types.js';

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
  const ipv4 = parsed.ipOffset === RESERVED_IP_OFFSET ? reservedIp(net) : instanceIp(net, parsed.ipOffset);
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

function checkPolicies({ tenant, pools }: TenantPolicies): void {
  checkNetworkPolicy(tenant ?? {});
  for (const [poolId, policy] of Object.entries(pools ?? {})) {
    parsePoolId(poolId);
    checkNetworkPolicy(policy);
  }
}

/**
 * Whether a tenant is sound by itself: its network by `checkTenantNet`, its policies by `checkNetworkPolicy`, each port by
 * `checkPort`, no port twice. Throws as those do; `already_exists`, reason `net.clash`, for a port that is there twice.
 */
export function checkTenant(tenant: DesiredTenantNetwork, clusterCidr: string): void {
  const { net, ports, policies } = tenant;
  checkTenantNet(net, clusterCidr);
  if (policies !== undefined) checkPolicies(policies);
  for (const port of ports) checkPort(net, port);
  if (new Set(ports.map((port) => port.tapName)).size !== ports.length)
    throw clash(`tenant net id ${net.tenant_net_id} has a port twice`);
}

/** The host's ports that a tenant's policies publish, as `tcp 8443`. */
function publishedPorts({ policies }: DesiredTenantNetwork): string[] {
  const lists = Object.values(policies?.pools ?? {}).map(({ publish }) => publish ?? []);
  return lists.flat().map(({ protocol, host_port }) => `${protocol} ${host_port}`);
}

const subnets = new WeakMap<TenantNet, Ipv4Cidr>();

function subnetOf(net: TenantNet): Ipv4Cidr {
  const subnet = subnets.get(net) ?? parseIpv4Cidr(net.ipv4_subnet);
  subnets.set(net, subnet);
  return subnet;
}

/**
 * Whether one tenant may be beside others that are sound: no net id, no published port twice, no overlapping subnets. Throws
 * `already_exists`, reason `net.clash`, naming the other by its net id.
 */
export function checkConflicts(tenant: DesiredTenantNetwork, others: Iterable<DesiredTenantNetwork>): void {
  const { net } = tenant;
  const subnet = subnetOf(net);
  const ports = new Set(publishedPorts(tenant));
  if (ports.size !== publishedPorts(tenant).length)
    throw clash(`two pools of tenant net id ${net.tenant_net_id} publish the same port`);
  for (const other of others) {
    const id = other.net.tenant_net_id;
    if (id === net.tenant_net_id) throw clash(`tenant net id ${id} is wanted twice`);
    if (cidrOverlaps(subnet, subnetOf(other.net))) {
      throw clash(`tenants ${net.tenant_net_id} and ${id} (net ids) would have overlapping subnets`);
    }
    if (ports.size === 0 || other.policies?.pools === undefined) continue;
    const twice = publishedPorts(other).find((port) => ports.has(port));
    if (twice !== undefined)
      throw clash(`port ${twice} is published by tenant net id ${id} and would be by ${net.tenant_net_id}`);
  }
}

/**
 * Whether everything wanted is sound by itself (`checkTenant`) and together: no net id twice, no overlapping subnets, no
 * published port twice. Throws as `checkTenant`, and `already_exists`, reason `net.clash`, for two that exclude each other.
 */
export function checkDesiredNetwork(desired: DesiredHostNetwork, clusterCidr: string): void {
  const netIds = new Set<number>();
  const published = new Set<string>();
  for (const tenant of desired.tenants) {
    checkTenant(tenant, clusterCidr);
    const { tenant_net_id } = tenant.net;
    if (netIds.has(tenant_net_id)) throw clash(`tenant net id ${tenant_net_id} is wanted twice`);
    netIds.add(tenant_net_id);
    for (const port of publishedPorts(tenant)) {
      if (published.has(port)) throw clash(`port ${port} is published twice`);
      published.add(port);
    }
  }
  const sorted = desired.tenants.map(({ net }) => subnetOf(net)).toSorted((a, b) => a.network - b.network);
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
