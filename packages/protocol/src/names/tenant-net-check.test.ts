import { describe, expect, it } from 'vitest';
import type { TenantNet } from '../tenant-net.js';
import { DEFAULT_CLUSTER_CIDR } from './constants.js';
import { checkTenantNet, deriveTenantNet, instanceIp, lastInstanceIpOffset } from './tenant-net-check.js';

const net = deriveTenantNet(3, '10.240.3.0/24');

describe('tenant network', () => {
  it('follows from net id and subnet', () => {
    expect(net).toEqual({
      tenant_net_id: 3,
      ipv4_subnet: '10.240.3.0/24',
      gateway_ip: '10.240.3.1',
      bridge_name: 'br-tenant-3',
    });
    expect(() => checkTenantNet(net, DEFAULT_CLUSTER_CIDR)).not.toThrow();
  });

  it.each<[string, Partial<TenantNet>, string]>([
    ['net id above the range', { tenant_net_id: 4096, bridge_name: 'br-tenant-4096' }, 'net.id_out_of_range'],
    ['negative net id', { tenant_net_id: -1 }, 'net.id_out_of_range'],
    ['fractional net id', { tenant_net_id: 3.5 }, 'net.id_out_of_range'],
    ['host bits', { ipv4_subnet: '10.240.3.1/24' }, 'net.invalid_cidr'],
    ['IPv6', { ipv4_subnet: 'fd00::/64' }, 'net.invalid_cidr'],
    ['nft syntax', { ipv4_subnet: '10.240.3.0/24 }; flush ruleset' }, 'net.invalid_cidr'],
    ['a subnet that is too small', { ipv4_subnet: '10.240.3.0/30' }, 'net.prefix_out_of_range'],
    ['the whole cluster', { ipv4_subnet: '10.240.0.0/12' }, 'net.prefix_out_of_range'],
    [
      'a subnet outside the cluster',
      { ipv4_subnet: '192.168.0.0/24', gateway_ip: '192.168.0.1' },
      'net.subnet_outside_cluster',
    ],
    ['another gateway', { gateway_ip: '10.240.3.254' }, 'net.gateway_mismatch'],
    ['a gateway with a zero', { gateway_ip: '10.240.3.01' }, 'net.gateway_mismatch'],
    ['another bridge', { bridge_name: 'docker0' }, 'net.bridge_mismatch'],
    ['a bridge with a line feed', { bridge_name: 'br-tenant-3\n' }, 'net.bridge_mismatch'],
  ])('refuses %s', (_name, change, reason) => {
    expect(() => checkTenantNet({ ...net, ...change }, DEFAULT_CLUSTER_CIDR)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason, hint: expect.any(String) }),
    );
  });

  it('takes the cluster range that the host has', () => {
    const other = deriveTenantNet(7, '172.20.7.0/25');
    expect(() => checkTenantNet(other, '172.20.0.0/16')).not.toThrow();
    expect(() => checkTenantNet(other, DEFAULT_CLUSTER_CIDR)).toThrow(/not inside the cluster/);
  });

  it('gives instances the addresses from offset 3', () => {
    expect(instanceIp(net, 3)).toBe('10.240.3.3');
    expect(instanceIp(net, 254)).toBe('10.240.3.254');
    expect(lastInstanceIpOffset(net)).toBe(254);
    expect(lastInstanceIpOffset(deriveTenantNet(3, '10.240.3.8/29'))).toBe(6);
    expect(instanceIp(deriveTenantNet(3, '10.240.3.8/29'), 6)).toBe('10.240.3.14');
    expect(instanceIp(deriveTenantNet(3, '10.240.0.0/16'), 254)).toBe('10.240.0.254');
  });

  it.each([0, 1, 2, 255, 3.5])('has no instance address at offset %d', (offset) => {
    expect(() => instanceIp(net, offset)).toThrow(
      expect.objectContaining({ reason: 'net.offset_out_of_range' }),
    );
  });

  it('keeps instances off the broadcast address of a small subnet', () => {
    expect(() => instanceIp(deriveTenantNet(3, '10.240.3.8/29'), 7)).toThrow(/offset 7/);
  });
});
