import { cidrContains, parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';
import { interfaceName } from '../../grammar.js';
import type { GuestPort, TenantGuests } from '../../types.js';
import {
  type Destination,
  type NetworkSite,
  type PathAnswer,
  type Route,
  rulesOf,
  setOut,
  type Trip,
} from './path.js';
import type { PacketFields } from './walk-chain.js';

/** A guest's packet to somewhere. */
export interface OutboundQuestion {
  readonly site: NetworkSite;
  /** One of the site's tenants, and one of its ports. */
  readonly tenant: TenantGuests;
  readonly port: GuestPort;
  readonly to: Destination;
  /** Where the host would send it; not asked for what stays in the tenant's subnet, or in the cluster's range. */
  readonly route: Route;
}

const THIS_NETWORK = parseIpv4Cidr('0.0.0.0/8');
const LOOPBACK = parseIpv4Cidr('127.0.0.0/8');

/** The fields of a first packet. Ports of the sender are not asked about, except 67 and 68, and are none of these. */
function packetOf({ tenant, port, to }: OutboundQuestion): PacketFields {
  const isV6 = to.address.includes(':');
  const { protocol } = to;
  const dport = to.port === undefined ? {} : { 'th dport': String(to.port) };
  const ports = protocol === 'icmp' ? {} : { [`${protocol} dport`]: String(to.port ?? 0), ...dport };
  return {
    'ether saddr': port.mac,
    'ether type': isV6 ? 'ip6' : 'ip',
    'meta nfproto': isV6 ? 'ipv6' : 'ipv4',
    'meta l4proto': protocol,
    ...(isV6 ? {} : { 'ip saddr': port.ipv4, 'ip daddr': to.address }),
    ...ports,
    ...(protocol === 'udp' ? { 'udp sport': '40000' } : {}),
    ...(protocol === 'icmp' ? { 'icmp type': 'echo-request' } : {}),
    'fib saddr . iif oif': tenant.net.bridge_name,
    'ct state': 'new',
    'ct direction': 'original',
  };
}

/** Within the tenant's subnet: over the bridge, past no rule about what is routed. */
function overTheBridge({ tenant, port, to }: OutboundQuestion, packet: PacketFields, trip: Trip): PathAnswer {
  const neighbour = tenant.ports.find(({ ipv4 }) => ipv4 === to.address);
  if (to.address === port.ipv4) {
    trip.note('bridge', 'its own address: the packet never leaves the guest');
    return trip.end(true);
  }
  if (neighbour === undefined) {
    trip.note('bridge', 'an address of the own subnet that no instance has: ARP is not answered');
    return trip.end(false);
  }
  const between = { ...packet, iifname: port.tapName, oifname: neighbour.tapName };
  if (trip.meets('bridge mvm', 'between', between).verdict === 'drop') return trip.end(false);
  trip.note('bridge', `handed to the neighbour's port ${neighbour.tapName}`);
  return trip.end(true);
}

/** Out by an interface, and the answer back. */
function forwarded(
  { tenant, port, to }: OutboundQuestion,
  packet: PacketFields,
  link: string,
  trip: Trip,
): PathAnswer {
  const bridge = tenant.net.bridge_name;
  trip.note('routing', `the host routes it to ${interfaceName(link)}`);
  const out = { ...packet, iifname: bridge, oifname: link };
  if (trip.meets('inet mvm', 'forward', out).verdict === 'drop') return trip.end(false);
  trip.meets('inet mvm', 'nat_post', out);
  const answer: PacketFields = {
    'meta nfproto': 'ipv4',
    'meta l4proto': to.protocol,
    'ip saddr': to.address,
    'ip daddr': port.ipv4,
    'ct state': 'established',
    'ct direction': 'reply',
    'ct status': ['confirmed', 'assured'],
  };
  const back = { ...answer, iifname: link, oifname: bridge };
  return trip.end(trip.meets('inet mvm', 'forward', back).verdict === 'accept');
}

/**
 * What becomes of the first packet of a guest to a destination, by the rules that follow from what is recorded: those that
 * hostd loads, read by their own texts. Limits are taken to be kept, and whether anybody listens at the destination is not
 * asked. Pure. Throws `invalid_argument` for an address or a link that is none.
 */
export function traceOutbound(question: OutboundQuestion): PathAnswer {
  const { site, tenant, port, to, route } = question;
  const trip = setOut(rulesOf(site));
  const packet = packetOf(question);
  const bridge = tenant.net.bridge_name;
  if (trip.meets('bridge mvm', 'pre', { ...packet, iifname: port.tapName }).verdict === 'drop')
    return trip.end(false);
  const address = parseIpv4(to.address);
  const isGateway = to.address === tenant.net.gateway_ip;
  if (!isGateway && cidrContains(parseIpv4Cidr(tenant.net.ipv4_subnet), address)) {
    return overTheBridge(question, packet, trip);
  }
  if (trip.meets('inet mvm', 'raw_pre', { ...packet, iifname: bridge }).verdict === 'drop')
    return trip.end(false);
  if (cidrContains(LOOPBACK, address) || cidrContains(THIS_NETWORK, address)) {
    trip.note('routing', 'the kernel takes no packet to such an address from an interface');
    return trip.end(false);
  }
  if (isGateway || route.kind === 'local') {
    trip.note('routing', isGateway ? 'its own gateway: an address of the host' : 'an address of the host');
    return trip.end(trip.meets('inet mvm', 'input', { ...packet, iifname: bridge }).verdict === 'accept');
  }
  if (cidrContains(parseIpv4Cidr(site.clusterCidr), address)) {
    trip.note(
      'routing',
      `another tenant's range: routing rule 91 drops what is routed within ${site.clusterCidr}`,
    );
    return trip.end(false);
  }
  if (route.kind === 'none') {
    trip.note('routing', 'the host has no route there');
    return trip.end(false);
  }
  return forwarded(question, packet, route.link, trip);
}
