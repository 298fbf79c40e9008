import type { Guest } from './guest.js';
import {
  CONTAINER_ADDRESS,
  METADATA_ADDRESS,
  PRIVATE_ADDRESSES,
  SERVICE_PORT,
  UPLINK_ADDRESS,
} from './outside.js';

/** The guests of the network's proofs: two of tenant acme (net id 3), one of globex (4). */
export const GUESTS = {
  a1: { ip: '10.240.3.3', mac: '02:fc:00:03:00:03', link: 'fe80::fc:ff:fe03:3' },
  a2: { ip: '10.240.3.4', mac: '02:fc:00:03:00:04', link: 'fe80::fc:ff:fe03:4' },
  b1: { ip: '10.240.4.3', mac: '02:fc:00:04:00:03', link: 'fe80::fc:ff:fe04:3' },
} as const;
export const GATEWAY_A = '10.240.3.1';
export const GATEWAY_B = '10.240.4.1';
/** Port on which every guest tells its name. */
export const GUEST_PORT = 7;

/** Something that a guest tries: a shell command that succeeds when it got through. */
export type Probe = readonly [name: string, command: string];

export const ping = (address: string): string => `ping -c 1 -W 2 ${address}`;
/** Connects and gets an answer. */
export const connects = (address: string, port: number): string =>
  `nc -w 2 ${address} ${port} </dev/null | grep .`;
const service = (address: string): string => connects(address, SERVICE_PORT);

/** What no guest of acme may get through with. Each gets through once the rules are gone. */
export const FORBIDDEN_TO_A: readonly Probe[] = [
  ["ping to another tenant's guest", ping(GUESTS.b1.ip)],
  ["TCP to another tenant's guest", connects(GUESTS.b1.ip, GUEST_PORT)],
  ["ping to another tenant's gateway", ping(GATEWAY_B)],
  ["a service of the host on another tenant's gateway", service(GATEWAY_B)],
  ['a service of the host on the own gateway', service(GATEWAY_A)],
  ["a service of the host on the uplink's address", service(UPLINK_ADDRESS)],
  ["a service of the host on the container network's address", service('172.17.0.1')],
  ["ping to the uplink's address", ping(UPLINK_ADDRESS)],
  ['ping to a container', ping(CONTAINER_ADDRESS)],
  ['TCP to a container', service(CONTAINER_ADDRESS)],
  ['the metadata address', service(METADATA_ADDRESS)],
  ...PRIVATE_ADDRESSES.map((address): Probe => [`the private address ${address}`, service(address)]),
];
/** The same between guests of one tenant. */
export const FORBIDDEN_WITHIN_A: readonly Probe[] = [
  ['IPv6 to its neighbour', `ping6 -c 1 -W 2 -I eth0 ${GUESTS.a2.link}`],
  ['a VLAN with its neighbour', ping('10.77.0.4')],
];
export const FORBIDDEN_TO_B: readonly Probe[] = [
  ["ping to another tenant's guest", ping(GUESTS.a1.ip)],
  ["TCP to another tenant's guest", connects(GUESTS.a1.ip, GUEST_PORT)],
  ["ping to another tenant's gateway", ping(GATEWAY_A)],
  ["a service of the host on another tenant's gateway", service(GATEWAY_A)],
];

/** Runs probes side by side; names of those that got through. */
export async function throughOf(guest: Guest, probes: readonly Probe[]): Promise<string[]> {
  const script = [
    'rm -rf /run/p; mkdir /run/p',
    ...probes.map(([, command], index) => `{ ${command}; } >/dev/null 2>&1 </dev/null && >/run/p/${index} &`),
    'wait; ls /run/p',
  ];
  const numbers = await guest.output(script.join('\n'), 60);
  return numbers
    .split('\n')
    .filter(Boolean)
    .map((number) => probes[Number(number)]?.[0] ?? '');
}

/** Frames that a2's port must never see, by what they are and how nftables knows them. */
export const FORGED = {
  address_free: 'ip saddr 10.240.3.99',
  address_gateway: `ether saddr ${GUESTS.a1.mac} ip saddr ${GATEWAY_A}`,
  address_other_tenant: `ip saddr ${GUESTS.b1.ip}`,
  address_public: 'ip saddr 8.8.8.8',
  mac_random: 'ether saddr 02:12:34:56:78:9a',
  mac_gateway: 'ether saddr 02:fc:00:03:00:01 arp saddr ip 10.240.3.3',
  mac_neighbour: `ether saddr ${GUESTS.a2.mac}`,
  arp_gateway: `arp saddr ether ${GUESTS.a1.mac} arp saddr ip ${GATEWAY_A}`,
  arp_neighbour: `arp saddr ether ${GUESTS.a1.mac} arp saddr ip ${GUESTS.a2.ip}`,
  dhcp_server: 'udp sport 67',
} as const;
/** A frame that it does see: an honest neighbour's announcement of itself. */
export const HONEST = `arp saddr ether ${GUESTS.a1.mac} arp saddr ip ${GUESTS.a1.ip} arp daddr ip ${GUESTS.a1.ip}`;

const MAC_FORGED = ['02:12:34:56:78:9a', '02:fc:00:03:00:01', GUESTS.a2.mac];
const FORGED_SOURCES = ['10.240.3.99', GATEWAY_A, GUESTS.b1.ip, '8.8.8.8'];

/**
 * Takes a2's address and MAC, looks for an answer of the gateway, and is honest again; succeeds when one came.
 * @param own the guest's own MAC
 */
export const takeAddress = (own: string, gateway: string, gatewayMac: string): string =>
  [
    `ip addr add ${GUESTS.a2.ip}/32 dev eth0; ip link set eth0 address ${GUESTS.a2.mac}`,
    `ip neigh replace ${gateway} lladdr ${gatewayMac} nud permanent dev eth0`,
    `arping -A -c 1 -w 1 -I eth0 ${GUESTS.a2.ip}`,
    `ping -c 2 -W 1 -I ${GUESTS.a2.ip} ${gateway}; status=$?`,
    `ip addr del ${GUESTS.a2.ip}/32 dev eth0; ip link set eth0 address ${own}; ip neigh del ${gateway} dev eth0`,
    'exit $status',
  ].join('\n');

/** What a1 does to have each of the frames above sent to a2; afterwards it is honest again. */
export const FORGE = [
  // Its neighbour is known, so that nothing has to be asked under a false name first.
  `ip neigh replace ${GUESTS.a2.ip} lladdr ${GUESTS.a2.mac} nud permanent dev eth0`,
  ...FORGED_SOURCES.map((ip) => `ip addr add ${ip}/32 dev eth0`),
  ...FORGED_SOURCES.map((ip) => `ping -c 1 -W 1 -I ${ip} ${GUESTS.a2.ip} &`),
  'wait',
  ...FORGED_SOURCES.map((ip) => `ip addr del ${ip}/32 dev eth0`),
  ...MAC_FORGED.flatMap((mac) => [
    `ip link set eth0 address ${mac}`,
    'arping -c 1 -w 1 -I eth0 10.240.3.77',
    `ip link set eth0 address ${GUESTS.a1.mac}`,
  ]),
  ...[GATEWAY_A, GUESTS.a2.ip].flatMap((ip) => [
    `ip addr add ${ip}/32 dev eth0`,
    `arping -A -c 1 -w 1 -I eth0 ${ip}`,
    `ip addr del ${ip}/32 dev eth0`,
  ]),
  `arping -U -c 1 -w 1 -I eth0 ${GUESTS.a1.ip}`,
  `ip neigh replace ${GUESTS.a2.ip} lladdr ${GUESTS.a2.mac} nud reachable dev eth0`,
  `ip route | grep -q default || ip route add default via ${GATEWAY_A}`,
  'true',
].join('\n');
