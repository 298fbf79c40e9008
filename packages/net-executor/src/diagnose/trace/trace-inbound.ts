import type { GuestPort, TenantGuests } from '../../types.js';
import { type NetworkSite, type PathAnswer, rulesOf, setOut } from './path.js';
import type { PacketFields } from './walk-chain.js';

/** A packet from outside the host, to a port of a guest. */
export interface InboundQuestion {
  readonly site: NetworkSite;
  /** One of the site's tenants, and one of its ports. */
  readonly tenant: TenantGuests;
  readonly port: GuestPort;
  readonly protocol: 'tcp' | 'udp';
  /** The guest's port, 1…65535. */
  readonly guestPort: number;
}

/** The answer, and the ports of the host, ascending, that lead to the guest's; none: it is not published. */
export interface InboundAnswer extends PathAnswer {
  readonly hostPorts: readonly number[];
}

const ANYBODY = '192.0.2.1';

/**
 * What becomes of the first packet from beyond an uplink to a guest's port, and of the answer: to the host's port that is
 * published for it, or, when there is none, to the guest's own address. By the same rules as `traceOutbound`. Pure.
 */
export function traceInbound({ site, tenant, port, protocol, guestPort }: InboundQuestion): InboundAnswer {
  const rules = rulesOf(site);
  const trip = setOut(rules);
  const [uplink] = site.uplinks;
  const bridge = tenant.net.bridge_name;
  const target = `${port.ipv4} . ${guestPort}`;
  const hostPorts = (rules.elements.get('publish') ?? [])
    .filter(({ key, value }) => key[0] === protocol && value === target)
    .map(({ key }) => Number(key[1]))
    .toSorted((a, b) => a - b);
  if (uplink === undefined) {
    trip.note('routing', 'the host has no uplink');
    return { ...trip.end(false), hostPorts };
  }
  const [hostPort] = hostPorts;
  const packet: PacketFields = {
    'meta nfproto': 'ipv4',
    'meta l4proto': protocol,
    'ip saddr': ANYBODY,
    'ip daddr': port.ipv4,
    [`${protocol} dport`]: String(guestPort),
    'th dport': String(guestPort),
    'ct state': 'new',
    'ct direction': 'original',
  };
  let status: readonly string[] = [];
  if (hostPort !== undefined) {
    trip.note('routing', `${protocol} to port ${hostPort} of the host's address on ${uplink}`);
    const { dnat } = trip.meets('inet mvm', 'nat_pre', {
      'meta l4proto': protocol,
      'th dport': String(hostPort),
      'fib daddr type': 'local',
      iifname: uplink,
    });
    status = dnat === target ? ['dnat'] : [];
  }
  trip.note('routing', `the host routes it to ${bridge}`);
  const inward = { ...packet, 'ct status': status, iifname: uplink, oifname: bridge };
  if (trip.meets('inet mvm', 'forward', inward).verdict === 'drop') return { ...trip.end(false), hostPorts };
  const answer: PacketFields = {
    'ether saddr': port.mac,
    'ether type': 'ip',
    'meta nfproto': 'ipv4',
    'meta l4proto': protocol,
    'ip saddr': port.ipv4,
    'ip daddr': ANYBODY,
    'th sport': String(guestPort),
    'ct state': 'established',
    'ct direction': 'reply',
    'ct status': [...status, 'confirmed'],
    'fib saddr . iif oif': bridge,
  };
  const back: readonly (readonly ['bridge mvm' | 'inet mvm', string, PacketFields])[] = [
    ['bridge mvm', 'pre', { ...answer, iifname: port.tapName }],
    ['inet mvm', 'raw_pre', { ...answer, iifname: bridge }],
    ['inet mvm', 'forward', { ...answer, iifname: bridge, oifname: uplink }],
  ];
  const returns = back.every(([at, chain, fields]) => trip.meets(at, chain, fields).verdict === 'accept');
  return { ...trip.end(returns), hostPorts };
}
