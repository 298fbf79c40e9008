import { describe, expect, it } from 'vitest';
import { addressWithPrefix, cidrText, interfaceName, ipv4Text, macText, uidText } from './grammar.js';
import { renderIpBatch } from './render-ip.js';
import { renderNftScript } from './render-nft.js';
import type { NetStep } from './types.js';

const HOSTILE = [
  '',
  ' ',
  'eth0 up',
  'eth0\nlink delete dev eth0',
  'eth0\r\n',
  'eth0\0',
  'eth0;reboot',
  '$(reboot)',
  '`reboot`',
  '-batch',
  '--help',
  '../all',
  'all',
  'default',
  '..',
  'a/b',
  'tn*',
  '"quoted"',
  '{ 1 }',
  'a-name-that-is-far-too-long',
  'ünïcode',
  '\u202Eeth0',
  '10.240.3.1 }\nflush ruleset\n#',
  'fd00::1',
  '::ffff:10.240.3.1',
  '02:fc:00:03:00:0',
  '02:FC:00:03:00:05',
  '02-fc-00-03-00-05',
  '10.240.3.1/33',
  '10.240.3.1/-1',
  '10.240.3.1/24/24',
  '10.240.3.0/24 }',
];

/** Every step kind with one field spoiled by `text`. */
function spoiled(text: string): NetStep[] {
  const element = (set: 'taps' | 'gw' | 'pool4' | 'egress', ...key: string[]): NetStep => ({
    kind: 'element.add',
    element: { set, key, ...(set === 'egress' ? { value: text } : {}) },
  });
  return [
    { kind: 'bridge.create', name: text, mac: '02:fc:00:03:00:01' },
    { kind: 'bridge.create', name: 'br-tenant-3', mac: text },
    { kind: 'bridge.delete', name: text, mac: '', addresses: [], up: true },
    { kind: 'mac.set', link: 'br-tenant-3', mac: text, was: '' },
    { kind: 'address.add', link: text, address: '10.240.3.1/24' },
    { kind: 'address.add', link: 'br-tenant-3', address: text },
    { kind: 'address.delete', link: 'br-tenant-3', address: text },
    { kind: 'tap.create', name: text, ownerUid: 1 },
    { kind: 'tap.delete', name: text, ownerUid: 1, bridge: null, up: false },
    { kind: 'port.join', name: 'tn3i5', bridge: text, was: null },
    { kind: 'port.leave', name: text, was: '' },
    { kind: 'link.up', name: text },
    { kind: 'link.down', name: text },
    { kind: 'rule.add', rule: { kind: 'isolate', cidr: text } },
    { kind: 'rule.delete', rule: { kind: 'local', cidr: text } },
    element('taps', text),
    element('gw', 'br-tenant-3', text),
    element('pool4', text),
    element('egress', 'br-tenant-3'),
  ];
}

describe('what reaches a script', () => {
  it.each(HOSTILE)('refuses %j in every field of every step', (text) => {
    for (const step of spoiled(text)) {
      expect(() => {
        renderIpBatch([step]);
        renderNftScript([step]);
      }, JSON.stringify(step)).toThrow(/is not/);
    }
  });

  it.each(['010.240.3.1', '10.240.3.256', '10.240.3', '0x0a.240.3.1', '١٠.240.3.1'])(
    'refuses %j as an address',
    (text) => {
      expect(() => ipv4Text(text)).toThrow(/is not/);
      expect(() => cidrText(`${text}/24`)).toThrow(/is not/);
      expect(() => addressWithPrefix(`${text}/24`)).toThrow(/is not/);
    },
  );

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 4_294_967_295])('refuses uid %d', (ownerUid) => {
    expect(() => renderIpBatch([{ kind: 'tap.create', name: 'tn3i5', ownerUid }])).toThrow('not a user id');
  });

  it('accepts what is sound', () => {
    expect(['eth0', 'enp0s3', 'eth0.100', 'wg_vpn', 'br-tenant-4095'].map(interfaceName)).toHaveLength(5);
    expect(macText('02:fc:00:03:00:05')).toBe('02:fc:00:03:00:05');
    expect(ipv4Text('10.240.3.5')).toBe('10.240.3.5');
    expect(cidrText('10.240.0.0/12')).toBe('10.240.0.0/12');
    expect(addressWithPrefix('10.240.3.1/24')).toBe('10.240.3.1/24');
    expect(uidText(1_900_000_773)).toBe('1900000773');
  });
});
