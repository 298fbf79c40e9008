import { isCodedError, type TenantNet } from '@mvm/protocol';
import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol/names';
import { describe, expect, it } from 'vitest';
import { checkDesiredNetwork } from './check-network.js';
import type { InstancePort } from './types.js';

const CLUSTER = '10.240.0.0/12';
const net = deriveTenantNet(3, '10.240.3.0/24');
const port: InstancePort = {
  tapName: tapName(3, 5),
  mac: macAddress(3, 5),
  ipv4: instanceIp(net, 5),
  ownerUid: 1_900_000_773,
};

function reason(tenants: readonly { net: TenantNet; ports?: readonly InstancePort[] }[]): string | null {
  try {
    checkDesiredNetwork({ tenants: tenants.map((tenant) => ({ ports: [], ...tenant })) }, CLUSTER);
    return null;
  } catch (error) {
    return isCodedError(error) ? `${error.code} ${error.reason}` : String(error);
  }
}

describe('checkDesiredNetwork', () => {
  it('accepts what follows from net id and subnet', () => {
    expect(reason([{ net, ports: [port] }, { net: deriveTenantNet(4, '10.240.4.0/24') }])).toBe(null);
  });

  it.each([
    [{ bridge_name: 'br-tenant-3; reboot' }, 'net.bridge_mismatch'],
    [{ bridge_name: 'br-tenant-3\nlink delete dev eth0' }, 'net.bridge_mismatch'],
    [{ bridge_name: 'eth0' }, 'net.bridge_mismatch'],
    [{ bridge_name: 'br-tenant-03' }, 'net.bridge_mismatch'],
    [{ bridge_name: `br-tenant-${'3'.repeat(40)}` }, 'net.bridge_mismatch'],
    [{ gateway_ip: '10.240.3.2' }, 'net.gateway_mismatch'],
    [{ gateway_ip: '10.240.3.1 } ; flush ruleset' }, 'net.gateway_mismatch'],
    [{ gateway_ip: 'fd00::1' }, 'net.gateway_mismatch'],
    [{ ipv4_subnet: '10.240.3.5/24' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '10.240.3.0/24\n' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '010.240.3.0/24' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '10.240.3.0/024' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: 'fd00::/64' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '$(id)' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '10.240.3.0/33' }, 'net.invalid_cidr'],
    [{ ipv4_subnet: '10.240.0.0/12' }, 'net.prefix_out_of_range'],
    [{ ipv4_subnet: '10.240.3.0/30' }, 'net.prefix_out_of_range'],
    [{ ipv4_subnet: '0.0.0.0/0' }, 'net.prefix_out_of_range'],
    [{ ipv4_subnet: '192.168.3.0/24', gateway_ip: '192.168.3.1' }, 'net.subnet_outside_cluster'],
    [{ tenant_net_id: 4096 }, 'net.id_out_of_range'],
    [{ tenant_net_id: -1 }, 'net.id_out_of_range'],
    [{ tenant_net_id: 3.5 }, 'net.id_out_of_range'],
  ])('refuses %j', (change, expected) => {
    expect(reason([{ net: { ...net, ...change } }])).toBe(`invalid_argument ${expected}`);
  });

  it.each([
    [{ tapName: 'tn4i5' }, 'net.port_mismatch'],
    [{ tapName: 'eth0' }, 'net.port_mismatch'],
    [{ tapName: 'tn3i5\n' }, 'net.port_mismatch'],
    [{ tapName: 'tn3i1' }, 'net.offset_out_of_range'],
    [{ mac: macAddress(3, 6) }, 'net.port_mismatch'],
    [{ ipv4: '10.240.3.6' }, 'net.port_mismatch'],
    [{ ipv4: '10.240.3.1' }, 'net.port_mismatch'],
    [{ ownerUid: 0 }, 'net.port_mismatch'],
    [{ ownerUid: -1 }, 'net.unsafe_text'],
  ])('refuses a port with %j', (change, expected) => {
    expect(reason([{ net, ports: [{ ...port, ...change }] }])).toBe(`invalid_argument ${expected}`);
  });

  it('accepts a port at the reserved offset, by which hostd probes', () => {
    const reserved = { tapName: 'tn3i2', mac: macAddress(3, 2), ipv4: '10.240.3.2', ownerUid: 770 };
    expect(reason([{ net, ports: [reserved] }])).toBe(null);
    expect(reason([{ net, ports: [{ ...reserved, ipv4: '10.240.3.3' }] }])).toBe(
      'invalid_argument net.port_mismatch',
    );
  });

  it('refuses two that exclude each other', () => {
    const clash = 'already_exists net.clash';
    expect(reason([{ net }, { net }])).toBe(clash);
    expect(reason([{ net, ports: [port, port] }])).toBe(clash);
    expect(reason([{ net }, { net: deriveTenantNet(4, '10.240.3.128/25') }])).toBe(clash);
    expect(reason([{ net }, { net: deriveTenantNet(4, '10.240.0.0/16') }])).toBe(clash);
  });
});
