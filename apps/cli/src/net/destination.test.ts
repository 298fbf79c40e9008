import { isCodedError } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { parseDestination, parseGuestPort } from './destination.js';

const at = (address: string) => ({ target: { kind: 'address', address } });
const of = (instanceId: string) => ({
  target: { kind: 'instance', instance: { tenantId: 'acme', poolId: 'web', instanceId } },
});

it.each([
  ['1.1.1.1', { ...at('1.1.1.1'), protocol: 'icmp' }],
  ['1.1.1.1/icmp', { ...at('1.1.1.1'), protocol: 'icmp' }],
  ['1.1.1.1:443', { ...at('1.1.1.1'), protocol: 'tcp', port: 443 }],
  ['1.1.1.1:443/tcp', { ...at('1.1.1.1'), protocol: 'tcp', port: 443 }],
  ['1.1.1.1:53/udp', { ...at('1.1.1.1'), protocol: 'udp', port: 53 }],
  ['host', { target: { kind: 'host' }, protocol: 'icmp' }],
  ['host:22', { target: { kind: 'host' }, protocol: 'tcp', port: 22 }],
  ['acme/web/i-1', { ...of('i-1'), protocol: 'icmp' }],
  ['acme/web/i-1/icmp', { ...of('i-1'), protocol: 'icmp' }],
  ['acme/web/i-1:80', { ...of('i-1'), protocol: 'tcp', port: 80 }],
  ['acme/web/icmp', { ...of('icmp'), protocol: 'icmp' }],
  ['acme/web/tcp:80/udp', { ...of('tcp'), protocol: 'udp', port: 80 }],
  ['2001:db8::1', { ...at('2001:db8::1'), protocol: 'icmp' }],
  ['[2001:db8::1]:443/tcp', { ...at('2001:db8::1'), protocol: 'tcp', port: 443 }],
])('%s', (text, expected) => {
  expect(parseDestination(text)).toEqual(expected);
});

const hintOf = (parse: () => unknown): string | undefined => {
  try {
    parse();
  } catch (error) {
    if (isCodedError(error) && error.code === 'invalid_argument') return error.hint;
    throw error;
  }
  throw new Error('was accepted');
};

it.each([
  ['example.com', 'getent ahostsv4 example.com'],
  ['example.com:443', 'Name the address'],
  ['1.1.1.1/tcp', 'need a port'],
  ['1.1.1.1:80/icmp', 'tcp and udp'],
  ['1.1.1.1:80/sctp', 'tcp and udp'],
  ['1.1.1.1:0', '1 to 65535'],
  ['1.1.1.1:65536', '1 to 65535'],
  ['1.1.1.1:', '1 to 65535'],
  ['1.1.1.1:http', 'Write'],
  ['10.0.0.0/8', 'one address'],
  ['224.0.0.1', 'one machine'],
  ['255.255.255.255', 'one machine'],
  ['', 'Write'],
  ['1.1.1.1 ; reboot', 'Write'],
  ['$(reboot)', 'Write'],
])('refuses %j, and says how else', (text, hint) => {
  expect(hintOf(() => parseDestination(text))).toContain(hint);
});

it('reads a port of the guest', () => {
  expect(parseGuestPort('80')).toEqual({ protocol: 'tcp', port: 80 });
  expect(parseGuestPort('53/udp')).toEqual({ protocol: 'udp', port: 53 });
  for (const text of ['80/icmp', 'http', '', '1.1.1.1:80', '99999']) {
    expect(hintOf(() => parseGuestPort(text))).toMatch(/port/i);
  }
});
