import { describe, expect, it } from 'vitest';
import { cidrContains, cidrOverlaps, formatIpv4, formatIpv4Cidr, parseIpv4, parseIpv4Cidr } from './ipv4.js';

describe('IPv4', () => {
  it.each([
    ['0.0.0.0', 0],
    ['10.240.3.1', 0x0af00301],
    ['255.255.255.255', 0xffffffff],
  ])('reads and writes %s', (text, address) => {
    expect(parseIpv4(text)).toBe(address);
    expect(formatIpv4(address)).toBe(text);
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '0x1.2.3.4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.-4',
    '+1.2.3.4',
    '1..3.4',
    '1.2.3.4/24',
    '167772161',
    '::1',
    '::ffff:10.240.3.1',
    '１.2.3.4',
    '1.2.3.٤',
    '1.2.3.4444',
  ])('refuses the address %j', (text) => {
    expect(() => parseIpv4(text)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason: 'net.invalid_address' }),
    );
  });

  it.each([-1, 2 ** 32, 1.5, Number.NaN])('cannot write %d', (address) => {
    expect(() => formatIpv4(address)).toThrow(RangeError);
  });

  it('reads networks', () => {
    expect(parseIpv4Cidr('10.240.0.0/12')).toEqual({
      network: 0x0af00000,
      prefixLength: 12,
      broadcast: 0x0affffff,
      size: 2 ** 20,
    });
    expect(parseIpv4Cidr('0.0.0.0/0')).toEqual({
      network: 0,
      prefixLength: 0,
      broadcast: 0xffffffff,
      size: 2 ** 32,
    });
    expect(parseIpv4Cidr('1.2.3.4/32')).toMatchObject({ size: 1 });
    expect(formatIpv4Cidr(parseIpv4Cidr('255.255.255.254/31'))).toBe('255.255.255.254/31');
  });

  it.each([
    '10.240.3.0',
    '10.240.3.1/24',
    '10.240.3.0/33',
    '10.240.3.0/024',
    '10.240.3.0/24 ',
    '10.240.3.0/24/24',
    '10.240.3.0/-1',
    '10.240.3.0/',
    '/24',
    '10.240.3/24',
    '010.240.3.0/24',
    '10.240.3.0/255.255.255.0',
    '10.240.3.0/2４',
    'fd00::/8',
    '128.0.0.0/0',
  ])('refuses the network %j', (text) => {
    expect(() => parseIpv4Cidr(text)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason: 'net.invalid_cidr' }),
    );
  });

  it('compares networks', () => {
    const cluster = parseIpv4Cidr('10.240.0.0/12');
    const subnet = parseIpv4Cidr('10.240.3.0/24');
    const outside = parseIpv4Cidr('11.0.0.0/24');
    expect(cidrContains(cluster, subnet)).toBe(true);
    expect(cidrContains(subnet, cluster)).toBe(false);
    expect(cidrContains(cluster, outside)).toBe(false);
    expect(cidrContains(subnet, parseIpv4('10.240.3.0'))).toBe(true);
    expect(cidrContains(subnet, parseIpv4('10.240.3.255'))).toBe(true);
    expect(cidrContains(subnet, parseIpv4('10.240.4.0'))).toBe(false);
    expect(cidrOverlaps(cluster, subnet)).toBe(true);
    expect(cidrOverlaps(subnet, cluster)).toBe(true);
    expect(cidrOverlaps(subnet, parseIpv4Cidr('10.240.4.0/24'))).toBe(false);
    expect(cidrOverlaps(subnet, parseIpv4Cidr('10.240.2.0/24'))).toBe(false);
  });
});
