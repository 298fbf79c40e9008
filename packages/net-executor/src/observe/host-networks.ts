import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { CodedError } from '@mvm/protocol';
import {
  cidrOverlaps,
  formatIpv4Cidr,
  parseBridgeName,
  parseIpv4Cidr,
  parseTapName,
} from '@mvm/protocol/names';

/** A network that the host has, or has a route to, beside the tenants'. */
export interface HostNetwork {
  /** Canonical. */
  readonly cidr: string;
  /** For people: `10.240.3.7 on eth1`, `a route by tun0`. */
  readonly what: string;
}

function isOurs(link: string): boolean {
  return parseBridgeName(link) !== null || parseTapName(link) !== null;
}

/** Eight hexadecimal digits as the kernel of a little-endian host prints an address. */
function littleEndian(hex: string): number {
  return Buffer.from(hex.padStart(8, '0'), 'hex').readUInt32LE(0);
}

function prefixOf(mask: number): number {
  return mask === 0 ? 0 : 32 - Math.log2(2 ** 32 - mask);
}

/** The routes of the main table, default routes aside, in the text of /proc/net/route. Source: proc(5). */
export function parseMainRoutes(text: string): HostNetwork[] {
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([link = '', , , , , , , mask = '']) => mask !== '' && mask !== '00000000' && !isOurs(link))
    .map(([link = '', destination = '', , , , , , mask = '']) => ({
      cidr: formatIpv4Cidr({
        network: littleEndian(destination),
        prefixLength: prefixOf(littleEndian(mask)),
      }),
      what: link === '*' ? 'a route that refuses' : `a route by ${link}`,
    }));
}

/**
 * The routes of all tables but `main` and `local`, default routes aside, in the text of /proc/net/fib_trie: those of VPNs
 * and of policy routing. Source: kernel Documentation/networking/fib_trie.rst.
 */
export function parseOtherRoutes(text: string): HostNetwork[] {
  let table = '';
  let address = '';
  return text.split('\n').flatMap((line) => {
    const heading = /^(?:Id (\d+)|Main|Local):$/.exec(line);
    if (heading !== null) table = heading[1] ?? '';
    const leaf = /^ *\|-- ([\d.]+)$/.exec(line);
    if (leaf !== null) address = leaf[1] ?? '';
    const prefix = /^ *\/(\d+) \S+ (\S+)/.exec(line);
    if (table === '' || prefix === null || prefix[1] === '0' || prefix[2] === 'BROADCAST') return [];
    return [{ cidr: `${address}/${prefix[1]}`, what: `a route of table ${table}` }];
  });
}

function ownAddresses(): HostNetwork[] {
  return Object.entries(networkInterfaces())
    .filter(([link]) => !isOurs(link))
    .flatMap(([link, addresses]) =>
      (addresses ?? [])
        .filter(({ family, cidr }) => family === 'IPv4' && cidr !== null)
        .map(({ address }) => ({ cidr: `${address}/32`, what: `${address} on ${link}` })),
    );
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The networks that this host has beside the tenants', by its addresses and its routing tables. Needs no root. */
export function readHostNetworks(): HostNetwork[] {
  return [
    ...ownAddresses(),
    ...parseMainRoutes(readIfThere('/proc/thread-self/net/route')),
    ...parseOtherRoutes(readIfThere('/proc/thread-self/net/fib_trie')),
  ];
}

/**
 * The host's networks that exclude a tenant's subnet: those that overlap with it, and are not as wide as the cluster's range
 * or wider, for who gave a range to tenants out of the host's own has chosen so. Pure.
 */
export function overlapping(
  ipv4Subnet: string,
  clusterCidr: string,
  networks: readonly HostNetwork[],
): HostNetwork[] {
  const subnet = parseIpv4Cidr(ipv4Subnet);
  const { prefixLength: widest } = parseIpv4Cidr(clusterCidr);
  return networks.filter(({ cidr }) => {
    const network = parseIpv4Cidr(cidr);
    return network.prefixLength > widest && cidrOverlaps(subnet, network);
  });
}

/** Throws `already_exists`, reason `net.subnet_in_use`, when the host has a part of the subnet already. */
export function checkSubnetFree(
  ipv4Subnet: string,
  clusterCidr: string,
  networks: readonly HostNetwork[],
): void {
  const [first] = overlapping(ipv4Subnet, clusterCidr, networks);
  if (first === undefined) return;
  throw new CodedError({
    code: 'already_exists',
    reason: 'net.subnet_in_use',
    message: `the subnet ${ipv4Subnet} overlaps with ${first.cidr} of this host: ${first.what}`,
    hint: 'Give the tenant another subnet, or take the address or route away (ip address, ip route show table all).',
    details: { subnet: ipv4Subnet, other: first.cidr },
  });
}
