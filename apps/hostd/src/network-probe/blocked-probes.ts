import type { TenantNet } from '@mvm/protocol';
import { macAddress } from '@mvm/protocol/names';
import {
  arpMessage,
  BROADCAST_MAC,
  ETHERTYPE,
  ethernetFrame,
  pingPacket,
  synPacket,
  udpPacket,
} from './frames.js';

/** Frames sent per probe: a counter that rises by at least as many has seen them all. */
export const FRAMES_PER_PROBE = 3;
/** Enough to be forwarded once, and no more: should a rule fail, the next router drops what we sent. */
const LEAVING_TTL = 2;
/** Source ports of probes, out of the way of what guests use by themselves. */
const SPORT = 61_007;

/** One thing that a guest must not get through. */
export interface BlockedProbe {
  readonly name: string;
  /** The same frame, `FRAMES_PER_PROBE` times. */
  readonly frame: Buffer;
  /** For people: what is sent. */
  readonly sends: string;
  /** Counters that may count it, the usual one first; none: no rule of ours needs to see it. */
  readonly counters: readonly string[];
  /** The address that would answer, were it let through; null when there is no answer to such a frame. */
  readonly answeredBy: string | null;
  /** Whether its destination is outside this host, by an uplink. */
  readonly leaves: boolean;
}

/** Everything that decides which probes there are. */
export interface ProbeSite {
  readonly net: TenantNet;
  /** Of the peer. */
  readonly mac: string;
  readonly ip: string;
  readonly gatewayMac: string;
  /** An offset that no instance of the tenant has. */
  readonly unusedOffset: number;
  readonly unusedIp: string;
  /** IPv4 addresses of the host that are no tenant's gateway, at most a few. */
  readonly hostAddresses: readonly string[];
  /** Another tenant whose network is up, with the peer on its bridge; null when there is none. */
  readonly other: { readonly net: TenantNet; readonly ip: string; readonly mac: string } | null;
  /** Whether the tenant's policy lets guests reach an address outside: then it is not probed. */
  readonly mayReach: (address: string) => boolean;
}

/** Private and link-local destinations; the last is where clouds serve credentials. */
const PRIVATE_DESTINATIONS = [
  { name: 'private-192', address: '192.168.255.254' },
  { name: 'private-172', address: '172.31.255.254' },
  { name: 'shared-100', address: '100.127.255.254' },
  { name: 'metadata', address: '169.254.169.254' },
] as const;

const OUTSIDE_COUNTERS = ['c_private', 'c_none', 'c_denied', 'c_notuplink', 'c_hostin'];

/** An IPv6 neighbour solicitation's first bytes; the rest is zeros. */
const IPV6_PAYLOAD = Buffer.from(`6000000000183aff${'00'.repeat(32)}8700${'00'.repeat(22)}`, 'hex');

function forged(site: ProbeSite): BlockedProbe[] {
  const { net, mac, ip, gatewayMac, unusedIp, unusedOffset } = site;
  const gateway = net.gateway_ip;
  const unusedMac = macAddress(net.tenant_net_id, unusedOffset);
  const toGateway = (src: string, payload: Buffer) => ethernetFrame(gatewayMac, src, ETHERTYPE.ipv4, payload);
  const guard = { answeredBy: null, leaves: false };
  return [
    {
      ...guard,
      name: 'spoofed-neighbour',
      frame: toGateway(mac, pingPacket(unusedIp, gateway, 1)),
      sends: `pings to the gateway from ${unusedIp}, an address of this tenant that is not its own`,
      counters: ['c_ip'],
    },
    {
      ...guard,
      name: 'spoofed-foreign',
      frame: toGateway(mac, pingPacket('198.51.100.7', gateway, 1)),
      sends: 'pings to the gateway from 198.51.100.7',
      counters: ['c_ip'],
    },
    {
      ...guard,
      name: 'spoofed-mac',
      frame: toGateway(unusedMac, pingPacket(ip, gateway, 1)),
      sends: `pings to the gateway from the MAC ${unusedMac}`,
      counters: ['c_mac'],
      answeredBy: gateway,
    },
    {
      ...guard,
      name: 'arp-claim',
      frame: ethernetFrame(BROADCAST_MAC, mac, ETHERTYPE.arp, arpMessage(2, mac, unusedIp, unusedIp)),
      sends: `ARP messages that claim ${unusedIp}`,
      counters: ['c_arp'],
    },
    {
      ...guard,
      name: 'dhcp-server',
      frame: toGateway(mac, udpPacket(ip, gateway, 67, 68)),
      sends: 'answers of a DHCP server',
      counters: ['c_dhcpsrv'],
    },
    {
      ...guard,
      name: 'ipv6',
      frame: ethernetFrame('33:33:00:00:00:01', mac, ETHERTYPE.ipv6, IPV6_PAYLOAD),
      sends: 'IPv6 to all nodes of the bridge',
      counters: ['c_l2'],
    },
    {
      ...guard,
      name: 'link-local-ip',
      frame: ethernetFrame('01:80:c2:00:00:0e', mac, ETHERTYPE.ipv4, pingPacket(ip, gateway, 1)),
      sends: 'pings to the gateway, to the link-local group of bridges',
      counters: ['c_linklocal'],
      answeredBy: gateway,
    },
    {
      ...guard,
      name: 'link-local-arp',
      frame: ethernetFrame('01:80:c2:00:00:03', mac, ETHERTYPE.arp, arpMessage(1, mac, unusedIp, gateway)),
      sends: `ARP requests as ${unusedIp}, to the link-local group of bridges`,
      counters: ['c_linklocal'],
      answeredBy: gateway,
    },
    {
      ...guard,
      name: 'link-local-mac',
      frame: ethernetFrame('01:80:c2:00:00:02', unusedMac, ETHERTYPE.vlan, Buffer.alloc(46)),
      sends: `frames of the MAC ${unusedMac}, to the link-local group of bridges`,
      counters: ['c_linklocal'],
    },
    {
      ...guard,
      name: 'vlan-tag',
      frame: ethernetFrame(gatewayMac, mac, ETHERTYPE.vlan, Buffer.from('00010800', 'hex')),
      sends: 'frames with a VLAN tag',
      counters: ['c_l2'],
    },
  ];
}

function toHost(site: ProbeSite): BlockedProbe[] {
  const { net, mac, ip, gatewayMac, hostAddresses } = site;
  const send = (name: string, address: string, packet: Buffer, sends: string): BlockedProbe => ({
    name,
    frame: ethernetFrame(gatewayMac, mac, ETHERTYPE.ipv4, packet),
    sends,
    counters: ['c_hostin'],
    answeredBy: address,
    leaves: false,
  });
  const gateway = net.gateway_ip;
  return [
    send('host-tcp', gateway, synPacket(ip, gateway, SPORT, 22), `TCP to ${gateway}:22`),
    send('host-udp', gateway, udpPacket(ip, gateway, SPORT, 53), `UDP to ${gateway}:53`),
    ...hostAddresses.flatMap((address, i) => [
      send(
        `host-address-${i + 1}-ping`,
        address,
        pingPacket(ip, address, 1),
        `pings to ${address}, the host`,
      ),
      send(
        `host-address-${i + 1}-tcp`,
        address,
        synPacket(ip, address, SPORT, 22),
        `TCP to ${address}:22, the host`,
      ),
    ]),
  ];
}

function toOther(site: ProbeSite): BlockedProbe[] {
  const { mac, ip, gatewayMac, other } = site;
  if (other === null) return [];
  const routed = (packet: Buffer) => ethernetFrame(gatewayMac, mac, ETHERTYPE.ipv4, packet);
  const gateway = other.net.gateway_ip;
  return [
    {
      name: 'other-gateway',
      frame: routed(pingPacket(ip, gateway, 1)),
      sends: `pings to ${gateway}, the gateway of another tenant`,
      counters: ['c_hostin'],
      answeredBy: gateway,
      leaves: false,
    },
    {
      name: 'other-guest-ping',
      frame: routed(pingPacket(ip, other.ip, 1)),
      sends: `pings to ${other.ip}, of another tenant, by the gateway`,
      // A routing rule keeps tenants apart before any rule of nftables sees the packet.
      counters: [],
      answeredBy: other.ip,
      leaves: false,
    },
    {
      name: 'other-guest-tcp',
      frame: routed(synPacket(ip, other.ip, SPORT, 80)),
      sends: `TCP to ${other.ip}:80, of another tenant, by the gateway`,
      counters: [],
      answeredBy: other.ip,
      leaves: false,
    },
    {
      name: 'other-guest-direct',
      frame: ethernetFrame(other.mac, mac, ETHERTYPE.ipv4, pingPacket(ip, other.ip, 1)),
      sends: `pings to ${other.ip}, of another tenant, straight to its MAC`,
      counters: [],
      answeredBy: other.ip,
      leaves: false,
    },
    {
      name: 'other-guest-arp',
      frame: ethernetFrame(BROADCAST_MAC, mac, ETHERTYPE.arp, arpMessage(1, mac, ip, other.ip)),
      sends: `ARP requests for ${other.ip}, of another tenant`,
      counters: [],
      answeredBy: other.ip,
      leaves: false,
    },
  ];
}

function toOutside(site: ProbeSite): BlockedProbe[] {
  const { mac, ip, gatewayMac, mayReach } = site;
  return PRIVATE_DESTINATIONS.filter(({ address }) => !mayReach(address)).map(({ name, address }) => ({
    name,
    frame: ethernetFrame(gatewayMac, mac, ETHERTYPE.ipv4, synPacket(ip, address, SPORT, 80, LEAVING_TTL)),
    sends: `TCP to ${address}:80`,
    counters: OUTSIDE_COUNTERS,
    answeredBy: address,
    leaves: true,
  }));
}

/**
 * Everything that is tried and must not get through, from the guest's port outwards. Pure. What leaves comes last, so
 * that it is tried only after the rest was found to be blocked.
 */
export function planBlockedProbes(site: ProbeSite): BlockedProbe[] {
  return [...forged(site), ...toHost(site), ...toOther(site), ...toOutside(site)];
}
