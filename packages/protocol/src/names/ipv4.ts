import { CodedError, quoteForMessage } from '@mvm/errors';

/** An IPv4 network in canonical form: no host bits. Addresses are unsigned 32-bit numbers. */
export interface Ipv4Cidr {
  /** First address of the block. */
  readonly network: number;
  /** 0…32. */
  readonly prefixLength: number;
  /** Last address of the block. */
  readonly broadcast: number;
  /** Number of addresses, 1…2^32. */
  readonly size: number;
}

const OCTET = '(0|[1-9][0-9]{0,2})';
const ADDRESS_PATTERN = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);
const CIDR_PATTERN = /^([0-9.]{7,15})\/(0|[1-9][0-9]?)$/;

function tryParseIpv4(text: string): number | null {
  const match = ADDRESS_PATTERN.exec(text);
  if (match === null) return null;
  let address = 0;
  for (let i = 1; i <= 4; i += 1) {
    const octet = Number(match[i]);
    if (octet > 255) return null;
    address = address * 256 + octet;
  }
  return address;
}

/**
 * An address in dotted decimal as an unsigned 32-bit number. Strict: four decimal octets without leading zeros,
 * ASCII digits, nothing around them; else `invalid_argument`, reason `net.invalid_address`.
 */
export function parseIpv4(text: string): number {
  const address = typeof text === 'string' ? tryParseIpv4(text) : null;
  if (address !== null) return address;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'net.invalid_address',
    message: `${quoteForMessage(String(text))} is not an IPv4 address`,
    hint: 'Write it as four decimal numbers without leading zeros, e.g. 10.240.3.1.',
  });
}

/** Dotted decimal of an unsigned 32-bit number; RangeError for anything else. */
export function formatIpv4(address: number): string {
  if (!Number.isInteger(address) || address < 0 || address > 0xffff_ffff) {
    throw new RangeError(`${address} is not an IPv4 address`);
  }
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/**
 * A network in CIDR notation. Strict: canonical address and prefix length 0…32 without leading zeros, host bits zero;
 * else `invalid_argument`, reason `net.invalid_cidr`.
 */
export function parseIpv4Cidr(text: string): Ipv4Cidr {
  const match = typeof text === 'string' ? CIDR_PATTERN.exec(text) : null;
  const network = match === null ? null : tryParseIpv4(match[1] ?? '');
  const prefixLength = Number(match?.[2] ?? 33);
  const size = 2 ** (32 - prefixLength);
  if (network !== null && prefixLength <= 32 && network % size === 0) {
    return { network, prefixLength, broadcast: network + size - 1, size };
  }
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'net.invalid_cidr',
    message: `${quoteForMessage(String(text))} is not an IPv4 network`,
    hint: 'Write the network address, a slash and the prefix length, e.g. 10.240.3.0/24; host bits must be zero.',
  });
}

/** The CIDR notation of a network. */
export function formatIpv4Cidr(cidr: Pick<Ipv4Cidr, 'network' | 'prefixLength'>): string {
  return `${formatIpv4(cidr.network)}/${cidr.prefixLength}`;
}

/** Whether every address of `inner` (a network, or one address) lies in `outer`. */
export function cidrContains(outer: Ipv4Cidr, inner: Ipv4Cidr | number): boolean {
  if (typeof inner === 'number') return inner >= outer.network && inner <= outer.broadcast;
  return inner.network >= outer.network && inner.broadcast <= outer.broadcast;
}

/** Whether two networks share an address. */
export function cidrOverlaps(a: Ipv4Cidr, b: Ipv4Cidr): boolean {
  return a.network <= b.broadcast && b.network <= a.broadcast;
}
