import { isIPv4, isIPv6 } from 'node:net';
import { quoteForMessage } from '@mvm/protocol';
import { type InstanceAddress, parseInstanceAddress } from '../address/address.js';
import { usageError } from '../errors/usage-error.js';

/** What a guest wants to reach, as typed. */
export interface AskedDestination {
  readonly target:
    | { readonly kind: 'address'; readonly address: string }
    /** The host, by the address that its guests know: their gateway. */
    | { readonly kind: 'host' }
    | { readonly kind: 'instance'; readonly instance: InstanceAddress };
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** With tcp and udp only. */
  readonly port?: number;
}

const FORMS = 'Write 1.1.1.1:443, 1.1.1.1:53/udp, 1.1.1.1 (a ping), host:22, or acme/web/i-0a1b2c3d:80.';

function parsePort(text: string): number {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw usageError(`${quoteForMessage(text)} is not a port`, 'A port is a number from 1 to 65535.');
}

function parseTarget(text: string): AskedDestination['target'] {
  if (text === 'host') return { kind: 'host' };
  if (isIPv4(text) || isIPv6(text)) {
    // To all of a segment: no single machine is reached.
    if (/^(?:22[4-9]|23\d)\.|^255\.255\.255\.255$/.test(text)) {
      throw usageError(`${text} is not the address of one machine`, 'Name the address of one machine.');
    }
    return { kind: 'address', address: text };
  }
  if (text.split('/').length === 3) return { kind: 'instance', instance: parseInstanceAddress(text) };
  if (/^[\d.]+\/\d+$/.test(text)) {
    throw usageError(`${quoteForMessage(text)} is a network`, 'Name one address of it: a rule may split it.');
  }
  if (/^(?=.*[a-z])[a-z0-9_.-]+$/i.test(text)) {
    throw usageError(
      `${quoteForMessage(text)} is a name, and rules know addresses only`,
      `Name the address that the guest finds for it: "getent ahostsv4 ${text}" says what this host finds.`,
    );
  }
  throw usageError(`${quoteForMessage(text)} is not a destination`, FORMS);
}

/**
 * `<target>[:<port>[/tcp|/udp]]` or `<target>/icmp`, where a target is an address, `host`, or an instance's address; IPv6
 * with a port is in brackets. A port without a protocol is TCP's, neither is a ping. Throws `invalid_argument`, reason
 * `cli.usage`.
 */
export function parseDestination(text: string): AskedDestination {
  const bracketed = /^\[([^\]]*)\](.*)$/.exec(text);
  const [, whole = '', suffix = ''] = bracketed ?? (isIPv6(text) ? [text, text] : splitPort(text));
  const [, port, protocol] = /^(?::(\d*))?(?:\/(\w+))?$/.exec(suffix) ?? [];
  if (suffix !== '' && port === undefined && protocol === undefined) {
    throw usageError(`${quoteForMessage(text)} is not a destination`, FORMS);
  }
  const target = parseTarget(whole);
  if (port === undefined && (protocol === undefined || protocol === 'icmp'))
    return { target, protocol: 'icmp' };
  if (port !== undefined && (protocol === undefined || protocol === 'tcp' || protocol === 'udp')) {
    return { target, protocol: protocol ?? 'tcp', port: parsePort(port) };
  }
  throw usageError(
    `${quoteForMessage(text)} asks for what there is not`,
    port === undefined ? 'tcp and udp need a port: 1.1.1.1:53/udp.' : 'Ports have the protocols tcp and udp.',
  );
}

/** A text as target and the rest; an instance's address may end in a word that is a protocol's name as well. */
function splitPort(text: string): string[] {
  const colon = text.indexOf(':');
  if (colon >= 0) return [text, text.slice(0, colon), text.slice(colon)];
  const slashes = text.split('/').length - 1;
  const end = slashes === 1 || slashes === 3 ? /\/(?:icmp|tcp|udp)$/.exec(text)?.index : undefined;
  return end === undefined ? [text, text] : [text, text.slice(0, end), text.slice(end)];
}

/** `<port>[/tcp|/udp]` of the guest itself; throws as {@link parseDestination} does. */
export function parseGuestPort(text: string): { readonly protocol: 'tcp' | 'udp'; readonly port: number } {
  const [, port, protocol = 'tcp'] = /^(\d+)(?:\/(tcp|udp))?$/.exec(text) ?? [];
  if (port === undefined) {
    throw usageError(
      `${quoteForMessage(text)} is not a port of the guest`,
      'With --inbound, name the port in the guest that should be reached: 80, 80/tcp, 53/udp.',
    );
  }
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp', port: parsePort(port) };
}
