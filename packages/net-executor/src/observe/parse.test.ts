import { describe, expect, it } from 'vitest';
import { parseElement } from './parse-elements.js';
import { parseLinks } from './parse-links.js';
import { parseRules } from './parse-rules.js';
import { parseTables } from './parse-tables.js';
import { sysctlPath } from './sysctls.js';
import { parseDefaultRouteLinks } from './uplinks.js';

describe('parseLinks', () => {
  it("keeps links with names of ours, and marks those that are another program's", () => {
    const stdout = JSON.stringify([
      { ifname: 'lo', flags: ['UP'] },
      {
        ifname: 'br-tenant-3',
        flags: ['UP'],
        address: '02:fc:00:03:00:01',
        linkinfo: { info_kind: 'bridge' },
      },
      { ifname: 'tn3i5', flags: [], linkinfo: { info_kind: 'veth' } },
      { ifname: 'tn03i5', flags: [], linkinfo: { info_kind: 'tun', info_data: { type: 'tap' } } },
    ]);
    expect(parseLinks(`${stdout}\n`).map(({ name, kind, up }) => ({ name, kind, up }))).toEqual([
      { name: 'br-tenant-3', kind: 'bridge', up: true },
      { name: 'tn3i5', kind: 'other', up: false },
    ]);
  });
});

describe('parseRules', () => {
  const ours = { src: '10.240.0.0', srclen: 12, dst: '10.240.0.0', dstlen: 12, protocol: '109' };

  it('keeps our two rules and no others', () => {
    const stdout = JSON.stringify([
      { priority: 0, src: 'all', table: 'local', protocol: 'kernel' },
      { ...ours, priority: 90, iif: 'lo', table: 'main' },
      { ...ours, priority: 91, action: 'blackhole' },
      { ...ours, priority: 91, action: 'blackhole', protocol: 'static' },
      { ...ours, priority: 91, action: 'blackhole', dst: '10.0.0.0' },
    ]);
    expect(parseRules(stdout)).toEqual([
      { kind: 'local', cidr: '10.240.0.0/12' },
      { kind: 'isolate', cidr: '10.240.0.0/12' },
    ]);
  });
});

describe('parseElement', () => {
  it('reads plain, concatenated, commented and mapped elements', () => {
    expect(parseElement('taps', 'tn3i5').key).toEqual(['tn3i5']);
    expect(parseElement('uplinks', { elem: { val: 'eth0', comment: 'x' } }).key).toEqual(['eth0']);
    expect(parseElement('gw', { concat: ['br-tenant-3', '10.240.3.1'] }).key).toEqual([
      'br-tenant-3',
      '10.240.3.1',
    ]);
    expect(parseElement('pool4', { prefix: { addr: '10.240.0.0', len: 12 } }).key).toEqual(['10.240.0.0/12']);
    expect(parseElement('egress', ['br-tenant-3', { goto: { target: 'egress_open' } }])).toEqual({
      set: 'egress',
      key: ['br-tenant-3'],
      value: 'egress_open',
    });
  });

  it.each([
    ['pool4', { range: ['10.0.0.0', '10.0.0.9'] }],
    ['taps', 'tn*'],
    ['egress', ['br-tenant-3', { accept: null }]],
    ['gw', 'br-tenant-3'],
  ] as const)('refuses in %s what we never put there: %j', (set, value) => {
    expect(() => parseElement(set, value)).toThrow();
  });
});

describe('parseTables', () => {
  it('tells absent from half there', () => {
    expect(parseTables({ bridge: null, inet: null }).tables).toBe('absent');
    const half = parseTables({ bridge: null, inet: '{"nftables": []}' });
    expect(half.tables).toBe('damaged');
    expect(half.tableFaults).toContain('table bridge mvm is missing');
    expect(half.tableFaults).toContain('chain from_guest is missing');
  });
});

describe('sysctlPath', () => {
  it('accepts the settings of one interface only', () => {
    expect(sysctlPath('net/ipv4/conf/eth0.100/forwarding')).toBe(
      '/proc/sys/net/ipv4/conf/eth0.100/forwarding',
    );
    for (const key of [
      'kernel/core_pattern',
      'net/ipv4/conf/../../../kernel/core_pattern',
      'net/ipv4/conf/../ip_forward',
    ]) {
      expect(() => sysctlPath(key)).toThrow('outside net/ipv4/conf');
    }
  });
});

describe('parseDefaultRouteLinks', () => {
  it('takes every interface of a default route once, and none of ours', () => {
    const line = (name: string, destination: string, mask: string) =>
      `${name}\t${destination}\t010200C0\t0003\t0\t0\t0\t${mask}\t0`;
    const text = [
      'Iface\tDestination\tGateway',
      line('eth0', '00000000', '00000000'),
      line('eth0', '00000000', '00000000'),
      line('wg0', '00000000', '00000000'),
      line('eth1', '000200C0', '00FFFFFF'),
      line('tn3i5', '00000000', '00000000'),
      line('*', '00000000', '00000000'),
      '',
    ].join('\n');
    expect(parseDefaultRouteLinks(text)).toEqual(['eth0', 'wg0']);
    expect(parseDefaultRouteLinks('Iface\n')).toEqual([]);
  });
});
