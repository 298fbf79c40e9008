import type { AgentdClient, InstanceInfo, TenantSummary } from '@mvm/agentd-api';
import { policiesOf, type TenantGuests } from '@mvm/net-executor';
import {
  type Destination,
  type FirewallFindings,
  findRoute,
  findWayBack,
  type Route,
} from '@mvm/net-executor/diagnose';
import {
  CodedError,
  type HostInfo,
  type InstanceView,
  type NetworkDrops,
  type NetworkReport,
} from '@mvm/protocol';
import { formatAddress, type InstanceAddress } from '../address/address.js';
import { type CheckResult, runChecks } from '../doctor/check.js';
import type { HostProbe } from '../doctor/host-probe.js';
import { lookForBlocks, networkChecks } from '../doctor/network-checks.js';
import { inNetworkOf } from '../doctor/network-probe.js';
import { usageError } from '../errors/usage-error.js';
import type { AskedDestination } from './destination.js';

/** Everything that an answer follows from; all of it was read, nothing tried. */
export interface WhyFacts {
  readonly instance: InstanceInfo;
  readonly tenant: TenantSummary;
  /** The instance that has the destination's address; null when none has. */
  readonly target: InstanceView | null;
  readonly host: HostInfo;
  /** The tenant's guests, the one that is asked for among them whether it runs or not. */
  readonly guests: TenantGuests;
  readonly to: Destination;
  readonly uplinks: readonly string[];
  readonly route: Route;
  /** Why an answer does not find back to the guest; null: it does, or none is routed. */
  readonly wayBack: string | null;
  readonly report: NetworkReport;
  /** Null when hostd could not read them. */
  readonly drops: NetworkDrops | null;
  readonly foreign: FirewallFindings;
  /** The checks of mvm doctor about forwarding. */
  readonly checks: readonly CheckResult[];
}

/** An address that stands for the internet. Source: RFC 5737. */
const ANYBODY = '203.0.113.9';

/** States in which an instance has its port on the bridge. */
export function isUp({ status }: Pick<InstanceView, 'status'>): boolean {
  return status === 'running' || status === 'warm';
}

/** A tenant's guests as hostd has them on the bridge; `also`: as if these ran. */
function guestsOf(
  tenant: TenantSummary,
  instances: readonly InstanceView[],
  also: ReadonlySet<string>,
): TenantGuests {
  const ports = instances.flatMap((each) => {
    const wanted = isUp(each) || also.has(formatAddress(each));
    if (each.net === null || !wanted || each.tenant_id !== tenant.tenant_id) return [];
    const { tap_dev: tapName, mac, guest_ip: ipv4 } = each.net;
    return [{ tapName, mac, ipv4, poolId: each.pool_id, instanceId: each.instance_id }];
  });
  return { net: tenant.net, ports, policies: policiesOf(tenant, tenant.pools) };
}

/** The address that a destination means to this guest. Throws `invalid_argument` for an instance without one. */
function addressOf(
  { target }: AskedDestination,
  instance: InstanceInfo,
  all: readonly InstanceView[],
): string {
  if (target.kind === 'address') return target.address;
  if (target.kind === 'host') return instance.net?.gateway_ip ?? '';
  const { tenantId, poolId, instanceId } = target.instance;
  const asked = formatAddress({ tenant_id: tenantId, pool_id: poolId, instance_id: instanceId });
  const found = all.find((each) => formatAddress(each) === asked);
  if (found?.net != null) return found.net.guest_ip;
  const what = found === undefined ? 'there is no instance' : 'no address was given yet to';
  throw usageError(`${what} ${asked}`, 'mvm instance list -o wide shows instances and their addresses.');
}

/**
 * Asks agentd, and looks at this host in the network that hostd works in. Throws as the client does, `invalid_argument`,
 * reason `cli.usage`, for an instance that has no address yet, and `failed_precondition`, reason `net.other_namespace`, when
 * hostd's network is another one that this process may not enter.
 */
export async function gatherFacts(
  agentd: AgentdClient,
  caller: HostProbe,
  of: InstanceAddress,
  asked: AskedDestination | null,
  signal: AbortSignal,
): Promise<WhyFacts> {
  const options = { signal };
  const params = { tenant: of.tenantId, pool: of.poolId, instance: of.instanceId };
  const instance = await agentd.getInstance({ params }, options);
  if (instance.net === null) {
    throw usageError(
      `${formatAddress(instance)} has no address yet`,
      'It gets one when it is prepared: register its image.',
    );
  }
  const [tenant, { instances }, info, report, drops] = await Promise.all([
    agentd.getTenant({ params: { tenant: of.tenantId } }, options),
    agentd.listInstances({}, options),
    agentd.getHost({}, options),
    agentd.verifyNetwork({ query: { tenant: of.tenantId } }, options),
    agentd.getNetworkDrops({}, options).catch(() => null),
  ]);
  const host = await inNetworkOf(caller, info);
  if (host === null) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'net.other_namespace',
      message:
        'hostd is in another network namespace than this process, which cannot see the way of its packets',
      hint: `Run it as root on hostd's host: sudo mvm net why; or in its network: nsenter --net --target ${info.pid}`,
    });
  }
  const to: Destination =
    asked === null
      ? { address: instance.net.guest_ip, protocol: 'icmp' }
      : { address: addressOf(asked, instance, instances), protocol: asked.protocol, port: asked.port };
  const target = instances.find(({ net }) => net?.guest_ip === to.address) ?? null;
  const also = new Set([instance, ...(target === null ? [] : [target])].map(formatAddress));
  const { site, found } = await lookForBlocks(host, info);
  const way = { to: to.address, from: instance.net.guest_ip, bridge: tenant.net.bridge_name };
  const read: HostProbe['read'] = (program, args) => host.read(program, args);
  const isV6 = to.address.includes(':');
  const route: Route = isV6 ? { kind: 'none' } : await findRoute(read, way);
  const bridge = tenant.net.bridge_name;
  const guest = instance.net.guest_ip;
  const [uplink] = site.uplinks;
  // Outbound: from where it went to; inbound, from anybody beyond the uplink.
  const link = asked === null ? uplink : route.kind === 'link' ? route.link : undefined;
  const from = asked === null ? ANYBODY : to.address;
  const wayBack =
    link === undefined || link === bridge || (asked !== null && target !== null) || isV6
      ? null
      : await findWayBack(read, { guest, from, link, bridge });
  return {
    instance,
    tenant,
    target,
    host: info,
    guests: guestsOf(tenant, instances, also),
    to,
    uplinks: site.uplinks,
    route,
    wayBack,
    report,
    drops,
    foreign: found,
    checks: await runChecks(
      networkChecks(info).filter(({ name }) => name === 'forwarding-kept'),
      host,
    ),
  };
}
