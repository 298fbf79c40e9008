import { expect, it } from 'vitest';
import { checkSubnetFree, overlapping, parseMainRoutes, parseOtherRoutes } from './host-networks.js';

const CLUSTER = '10.240.0.0/12';

it('reads the routes of the main table, without default routes and our own', () => {
  const text = [
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT',
    'up0\t00000000\t016433C6\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'tun0\t0003F00A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'br-tenant-3\t0004F00A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    '*\t0005F00A\t00000000\t0200\t0\t0\t0\tFFFFFFFF\t0\t0\t0',
    '',
  ].join('\n');
  expect(parseMainRoutes(text)).toEqual([
    { cidr: '10.240.3.0/24', what: 'a route by tun0' },
    { cidr: '10.240.5.0/32', what: 'a route that refuses' },
  ]);
});

it('reads the routes of other tables: those of a VPN', () => {
  const text = [
    'Id 52:',
    '  +-- 0.0.0.0/0 1 0 0',
    '     |-- 0.0.0.0',
    '        /0 universe UNICAST',
    '     |-- 10.240.3.0',
    '        /24 universe UNICAST',
    'Main:',
    '     |-- 10.240.4.0',
    '        /24 link UNICAST',
    'Local:',
    '     |-- 10.240.4.1',
    '        /32 host LOCAL',
  ].join('\n');
  expect(parseOtherRoutes(text)).toEqual([{ cidr: '10.240.3.0/24', what: 'a route of table 52' }]);
});

it('refuses a subnet of which the host has a part, and names it', () => {
  const networks = [{ cidr: '10.240.3.7/32', what: '10.240.3.7 on eth1' }];
  expect(() => checkSubnetFree('10.240.3.0/24', CLUSTER, networks)).toThrow(
    expect.objectContaining({
      code: 'already_exists',
      reason: 'net.subnet_in_use',
      message: expect.stringContaining('10.240.3.7 on eth1'),
    }),
  );
  checkSubnetFree('10.240.4.0/24', CLUSTER, networks);
});

it('does not count what is as wide as the range that was chosen for tenants', () => {
  const wide = [
    { cidr: '10.0.0.0/8', what: 'a route by tun0' },
    { cidr: CLUSTER, what: 'a route by tun0' },
  ];
  expect(overlapping('10.240.3.0/24', CLUSTER, wide)).toEqual([]);
  expect(overlapping('10.240.3.0/24', CLUSTER, [{ cidr: '10.240.0.0/16', what: '' }])).toHaveLength(1);
});
