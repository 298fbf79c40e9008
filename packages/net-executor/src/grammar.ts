import { CodedError } from '@mvm/protocol';
import { parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';

// The last line of defence: whatever reaches a script for `ip` or `nft` went through one of these functions in the
// expression that renders it, wherever it came from and however often it was checked before.

const INTERFACE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;
const CHAIN_NAME = /^(?:egress_[a-z0-9_]{1,20}|p_[0-9a-f]{16}_(?:out|in|new))$/;
const SET_NAME =
  /^p_[0-9a-f]{16}_(?:rate|conns|tenant_rate|tenant_conns|out_bytes|out_packets|in_bytes|in_packets)$/;
const MAX_UID = 4_294_967_294;

function refuse(what: string, text: unknown): CodedError {
  const shown = JSON.stringify(String(text).slice(0, 40)).replace(/[^\x20-\x7e]/g, '?');
  return new CodedError({
    code: 'invalid_argument',
    reason: 'net.unsafe_text',
    message: `${shown} is not ${what}`,
    hint: 'Nothing was changed. Correct the tenant network or the host configuration that names it.',
  });
}

/**
 * The name of a network interface: 1…15 of `A-Z a-z 0-9 _ . -`, starting with a letter, digit or underscore (the kernel
 * allows more; nothing else is safe as an argument, in a script and as a path). Else `invalid_argument`, reason
 * `net.unsafe_text`.
 */
export function interfaceName(text: string): string {
  if (typeof text === 'string' && INTERFACE_NAME.test(text) && text !== 'all' && text !== 'default')
    return text;
  throw refuse('an interface name that can be used', text);
}

/** Whether `interfaceName` accepts it. */
export function isInterfaceName(text: string): boolean {
  return INTERFACE_NAME.test(text) && text !== 'all' && text !== 'default';
}

/** A MAC address, lower case with colons. Else `invalid_argument`, reason `net.unsafe_text`. */
export function macText(text: string): string {
  if (typeof text === 'string' && MAC.test(text)) return text;
  throw refuse('a MAC address', text);
}

/** The name or the value of a link's setting: 1…32 of `a-z 0-9 _`. Else `invalid_argument`, reason `net.unsafe_text`. */
export function settingText(text: string): string {
  if (typeof text === 'string' && /^[a-z0-9_]{1,32}$/.test(text)) return text;
  throw refuse('a setting of a link', text);
}

/** An IPv4 address in dotted decimal. Else `invalid_argument`. */
export function ipv4Text(text: string): string {
  parseIpv4(text);
  return text;
}

/** An IPv4 network in canonical CIDR notation. Else `invalid_argument`. */
export function cidrText(text: string): string {
  parseIpv4Cidr(text);
  return text;
}

/** An IPv4 address with a prefix length, host bits allowed: `10.240.3.1/24`. Else `invalid_argument`. */
export function addressWithPrefix(text: string): string {
  const [address, prefix, ...rest] = String(text).split('/');
  if (rest.length > 0 || prefix === undefined || !/^(?:[0-9]|[12][0-9]|3[0-2])$/.test(prefix)) {
    throw refuse('an IPv4 address with a prefix length', text);
  }
  parseIpv4(address ?? '');
  return text;
}

/** A number that is at least 1 and counts exactly, as decimal text. Else `invalid_argument`, reason `net.unsafe_text`. */
export function numberText(value: number): string {
  if (Number.isSafeInteger(value) && value >= 1) return String(value);
  throw refuse('a number', value);
}

/** The name of a set of a policy's profile: `p_<id>_…`. Else `invalid_argument`, reason `net.unsafe_text`. */
export function setName(text: string): string {
  if (typeof text === 'string' && SET_NAME.test(text)) return text;
  throw refuse('the name of a set', text);
}

/** The name of a chain of ours that a verdict map may lead to: `egress_…`, `p_<id>_…`. Else `invalid_argument`, reason `net.unsafe_text`. */
export function chainName(text: string): string {
  if (typeof text === 'string' && CHAIN_NAME.test(text)) return text;
  throw refuse('a chain name', text);
}

/** A uid as decimal text, 0…4294967294. Else `invalid_argument`, reason `net.unsafe_text`. */
export function uidText(uid: number): string {
  if (Number.isInteger(uid) && uid >= 0 && uid <= MAX_UID) return String(uid);
  throw refuse('a user id', uid);
}

/** A range of uids without root's, as `1900000000-1901048575`. Else `invalid_argument`, reason `net.unsafe_text`. */
export function uidRangeText(text: string): string {
  const [first = Number.NaN, last = Number.NaN, ...rest] = String(text).split('-').map(Number);
  const whole = rest.length === 0 && first >= 1 && first < last;
  if (whole && `${uidText(first)}-${uidText(last)}` === text) return text;
  throw refuse('a range of user ids', text);
}

/** A transport protocol with ports. Else `invalid_argument`, reason `net.unsafe_text`. */
export function protocolText(text: string): string {
  if (text === 'tcp' || text === 'udp') return text;
  throw refuse('tcp or udp', text);
}

/** A port as decimal text, 1…65535. Else `invalid_argument`, reason `net.unsafe_text`. */
export function portText(text: string): string {
  if (typeof text === 'string' && /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65_535) return text;
  throw refuse('a port', text);
}

/** Address and port, as `10.240.3.5 . 80`. Else `invalid_argument`. */
export function addressAndPort(text: string): string {
  const [address, port, ...rest] = String(text).split(' . ');
  if (rest.length > 0 || address === undefined || port === undefined)
    throw refuse('an address and a port', text);
  return `${ipv4Text(address)} . ${portText(port)}`;
}
