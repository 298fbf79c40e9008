import { isCodedError } from '@mvm/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TenantNet } from '../tenant-net.js';
import { DEFAULT_CLUSTER_CIDR } from './constants.js';
import { formatIpv4, formatIpv4Cidr, parseIpv4, parseIpv4Cidr } from './ipv4.js';
import { checkTenantNet, deriveTenantNet, instanceIp, lastInstanceIpOffset } from './tenant-net-check.js';

const RUNS = { numRuns: 5000 };
const cluster = parseIpv4Cidr(DEFAULT_CLUSTER_CIDR);

/** Every network that a tenant may have. */
const goodNet: fc.Arbitrary<TenantNet> = fc
  .tuple(
    fc.integer({ min: 0, max: 4095 }),
    fc.integer({ min: 16, max: 29 }),
    fc.nat({ max: cluster.size - 1 }),
  )
  .map(([netId, prefixLength, offset]) => {
    const size = 2 ** (32 - prefixLength);
    const network = cluster.network + offset - (offset % size);
    return deriveTenantNet(netId, formatIpv4Cidr({ network, prefixLength }));
  });

function accepts(net: TenantNet): boolean {
  try {
    checkTenantNet(net, DEFAULT_CLUSTER_CIDR);
    return true;
  } catch (error) {
    if (!isCodedError(error)) throw error;
    expect(error.code).toBe('invalid_argument');
    expect(error.reason).toMatch(/^net\.[a-z_]+$/);
    // What a caller sent may be in the message, but nothing that a terminal or a log would obey.
    expect(error.message).toMatch(/^[\x20-\x7e…’]*$/);
    return false;
  }
}

const HOSTILE = [
  ';rm -rf /',
  '$(reboot)',
  '`reboot`',
  '|cat',
  '&',
  '>x',
  '\n',
  '\r',
  '\u0000',
  '\t',
  ' ',
  '"',
  "'",
  '\\',
  '#',
  '*',
  '?',
  ' }; flush ruleset; {',
  ' accept',
  '{',
  '}',
  '@set',
  '$var',
  '--',
  '-batch',
  '/',
  '..',
  '%00',
  '%',
  '::',
  'fd00::1',
  '::ffff:10.240.3.1',
  '0',
  '00',
  '٣',
  '３',
  '३',
  '\u200b',
  '\u202e',
  '\ufeff',
  'é',
  '+',
  '-1',
  '0x',
  'e1',
  '.',
  ',',
  'x'.repeat(64),
  '1'.repeat(400),
];

describe('checkTenantNet', () => {
  it('accepts what deriveTenantNet makes inside the cluster', () => {
    fc.assert(
      fc.property(goodNet, (net) => {
        expect(accepts(net)).toBe(true);
      }),
      RUNS,
    );
  });

  it('accepts nothing else: an accepted network is the derived one', () => {
    const anyText = fc.oneof(
      fc.constantFrom('10.240.3.0/24', '10.240.3.1', 'br-tenant-3', '10.0.0.0/8', '10.240.3.8/29'),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.ipV4(),
      fc.tuple(fc.ipV4Extended(), fc.nat({ max: 40 })).map(([address, prefix]) => `${address}/${prefix}`),
      fc.ipV6(),
    );
    const anyNet = fc.record({
      tenant_net_id: fc.oneof(fc.integer({ min: -2, max: 5000 }), fc.double()),
      ipv4_subnet: anyText,
      gateway_ip: anyText,
      bridge_name: anyText,
    });
    const check = (net: TenantNet) => {
      if (accepts(net)) expect(net).toEqual(deriveTenantNet(net.tenant_net_id, net.ipv4_subnet));
    };
    fc.assert(fc.property(anyNet, check), RUNS);
  });

  it('refuses hostile text before, inside and after every field', () => {
    const field = fc.constantFrom('ipv4_subnet', 'gateway_ip', 'bridge_name');
    const check = (
      net: TenantNet,
      name: 'ipv4_subnet' | 'gateway_ip' | 'bridge_name',
      hostile: string,
      at: number,
    ) => {
      const text = net[name];
      const cut = at % (text.length + 1);
      const changed = { ...net, [name]: text.slice(0, cut) + hostile + text.slice(cut) };
      // A digit more can make another valid subnet, but then the gateway does not follow from it.
      expect(accepts(changed)).toBe(false);
      expect(accepts({ ...net, [name]: hostile })).toBe(false);
    };
    fc.assert(fc.property(goodNet, field, fc.constantFrom(...HOSTILE), fc.nat(), check), { numRuns: 20_000 });
  });

  it('refuses a subnet with host bits, of another size, or outside the cluster', () => {
    const check = (net: TenantNet, bit: number) => {
      const { network, prefixLength } = parseIpv4Cidr(net.ipv4_subnet);
      const flipped = formatIpv4((network ^ (1 << bit)) >>> 0);
      const changed = { ...net, ipv4_subnet: `${flipped}/${prefixLength}` };
      expect(accepts(changed)).toBe(false);
    };
    fc.assert(fc.property(goodNet, fc.integer({ min: 0, max: 31 }), check), RUNS);
    for (const prefixLength of [0, 8, 12, 15, 30, 31, 32, 33]) {
      expect(
        accepts({ ...deriveTenantNet(3, '10.240.0.0/24'), ipv4_subnet: `10.240.0.0/${prefixLength}` }),
      ).toBe(false);
    }
  });

  it('leaves every instance an address of its own inside the subnet', () => {
    const check = (net: TenantNet) => {
      const subnet = parseIpv4Cidr(net.ipv4_subnet);
      const last = lastInstanceIpOffset(net);
      expect(last).toBeGreaterThanOrEqual(6);
      const address = parseIpv4(instanceIp(net, last));
      expect(address).toBeLessThan(subnet.broadcast);
      expect(address).toBeGreaterThan(parseIpv4(net.gateway_ip));
    };
    fc.assert(fc.property(goodNet, check), RUNS);
  });
});
