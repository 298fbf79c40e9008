import { isCodedError } from '@mvm/errors';
import { describe, expect, it } from 'vitest';
import { clientFrameCodec } from './index.js';
import { checkNetworkPolicy, type PoolNetworkPolicy } from './network-policy.js';

const allow = (exception: object): object => ({ allow: [exception] });
const published = { protocol: 'tcp', host_port: 8443, guest_port: 443 };
const publish = (change: object): object => ({ publish: [{ ...published, ...change }] });

/** Policies that nobody may have, each with the field that is named. */
const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ['not an object', 'internet', 'policy'],
  ['an unknown field', { egres: 'none' }, 'policy'],
  ['an unknown limit', { limits: { newPerSecond: 1 } }, 'limits'],
  ['an unknown egress', { egress: 'internet; flush ruleset' }, 'egress'],
  ['nft syntax for a network', allow({ cidr: '0.0.0.0/0 accept #' }), 'allow.0.cidr'],
  ['a second line', allow({ cidr: '10.0.0.0/8\nflush' }), 'allow.0.cidr'],
  ['a line end', allow({ cidr: '10.0.0.0/8\n' }), 'allow.0.cidr'],
  ['shell syntax', allow({ cidr: '$(reboot)' }), 'allow.0.cidr'],
  ['braces', allow({ cidr: '{10.0.0.0/8}' }), 'allow.0.cidr'],
  ['a set of ours', allow({ cidr: '@pool4' }), 'allow.0.cidr'],
  ['a range', allow({ cidr: '10.0.0.1-10.0.0.9' }), 'allow.0.cidr'],
  ['a name', allow({ cidr: 'localhost/32' }), 'allow.0.cidr'],
  ['host bits', allow({ cidr: '10.0.0.1/8' }), 'allow.0.cidr'],
  ['no prefix length', allow({ cidr: '10.0.0.1' }), 'allow.0.cidr'],
  ['a prefix length of 33', allow({ cidr: '10.0.0.0/33' }), 'allow.0.cidr'],
  ['a negative prefix length', allow({ cidr: '10.0.0.0/-1' }), 'allow.0.cidr'],
  ['a leading zero', allow({ cidr: '10.0.0.0/08' }), 'allow.0.cidr'],
  ['octal', allow({ cidr: '010.0.0.0/8' }), 'allow.0.cidr'],
  ['IPv6', allow({ cidr: '2001:db8::/32' }), 'allow.0.cidr'],
  ['a mapped address', allow({ cidr: '::ffff:10.0.0.0/104' }), 'allow.0.cidr'],
  ['an overlong network', allow({ cidr: '1'.repeat(1000) }), 'allow.0.cidr'],
  ['an empty network', { deny: [{ cidr: '' }] }, 'deny.0.cidr'],
  ['an unknown protocol', allow({ cidr: '10.0.0.0/8', protocol: 'sctp' }), 'allow.0.protocol'],
  ['a protocol in capitals', allow({ cidr: '10.0.0.0/8', protocol: 'TCP' }), 'allow.0.protocol'],
  ['ports without a protocol', allow({ cidr: '10.0.0.0/8', first_port: 1 }), 'allow.0.protocol'],
  [
    'ports of a protocol that has none',
    allow({ cidr: '10.0.0.0/8', protocol: 'icmp', first_port: 1 }),
    'allow.0.protocol',
  ],
  ['port 0', allow({ cidr: '10.0.0.0/8', protocol: 'tcp', first_port: 0 }), 'allow.0.first_port'],
  ['port 65536', allow({ cidr: '10.0.0.0/8', protocol: 'tcp', first_port: 65_536 }), 'allow.0.first_port'],
  ['a port as text', allow({ cidr: '10.0.0.0/8', protocol: 'tcp', first_port: '22' }), 'allow.0.first_port'],
  ['half a port', allow({ cidr: '10.0.0.0/8', protocol: 'tcp', first_port: 1.5 }), 'allow.0.first_port'],
  ['a last port alone', allow({ cidr: '10.0.0.0/8', protocol: 'tcp', last_port: 9 }), 'allow.0.first_port'],
  [
    'ports in the wrong order',
    allow({ cidr: '10.0.0.0/8', protocol: 'udp', first_port: 9, last_port: 8 }),
    'allow.0.last_port',
  ],
  ['too many exceptions', { deny: Array.from({ length: 65 }, () => ({ cidr: '10.0.0.0/8' })) }, 'deny'],
  ['a published port 0', publish({ host_port: 0 }), 'publish.0.host_port'],
  ['a published port 65536', publish({ host_port: 65_536 }), 'publish.0.host_port'],
  ['a guest port NaN', publish({ guest_port: Number.NaN }), 'publish.0.guest_port'],
  ['a published protocol', publish({ protocol: 'icmp' }), 'publish.0.protocol'],
  ['an address to publish', publish({ guest_ip: '10.240.3.5' }), 'publish.0'],
  ['a path for an instance', publish({ instance_id: '../x' }), 'publish.0.instance_id'],
  ['a set for an instance', publish({ instance_id: '@taps' }), 'publish.0.instance_id'],
  ['a port twice', { publish: [published, published] }, 'publish.1.host_port'],
  ['a negative limit', { limits: { connections: -1 } }, 'limits.connections'],
  ['no connections', { limits: { connections: 0 } }, 'limits.connections'],
  [
    'an endless rate',
    { limits: { packets_per_second: Number.POSITIVE_INFINITY } },
    'limits.packets_per_second',
  ],
  ['too little bandwidth', { limits: { bandwidth_kbit: 63 } }, 'limits.bandwidth_kbit'],
  ['too much bandwidth', { limits: { bandwidth_kbit: 10_000_001 } }, 'limits.bandwidth_kbit'],
  ['isolation as text', { isolate_instances: 'yes' }, 'isolate_instances'],
];

function problem(policy: unknown): { reason: string; code: string; message: string; details: object } {
  try {
    checkNetworkPolicy(policy as PoolNetworkPolicy);
  } catch (error) {
    if (isCodedError(error)) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('checkNetworkPolicy', () => {
  it.each<[string, PoolNetworkPolicy]>([
    ['nothing', {}],
    ['an egress', { egress: 'none' }],
    ['every address', { allow: [{ cidr: '0.0.0.0/0' }] }],
    ['one address', { deny: [{ cidr: '169.254.169.254/32' }] }],
    ['the last port', { allow: [{ cidr: '10.0.0.0/8', protocol: 'udp', first_port: 1, last_port: 65_535 }] }],
    ['a protocol without ports', { deny: [{ cidr: '10.0.0.0/8', protocol: 'icmp' }] }],
    [
      'the same port of both protocols',
      {
        publish: [
          { protocol: 'tcp', host_port: 53, guest_port: 53 },
          { protocol: 'udp', host_port: 53, guest_port: 53, instance_id: 'i-1' },
        ],
      },
    ],
    ['no limit at all', { limits: { packets_per_second: 0, bandwidth_kbit: 0 } }],
  ])('accepts %s', (_name, policy) => {
    expect(() => checkNetworkPolicy(policy)).not.toThrow();
  });

  it.each(REFUSED)('refuses %s, and names the field', (_name, policy, path) => {
    const { code, reason, details, message } = problem(policy);
    expect({ code, reason, details }).toEqual({
      code: 'invalid_argument',
      reason: 'net.invalid_policy',
      details: { path },
    });
    expect(message).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('a policy on the wire', () => {
  const net = {
    tenant_net_id: 3,
    ipv4_subnet: '10.240.3.0/24',
    gateway_ip: '10.240.3.1',
    bridge_name: 'br-tenant-3',
  };
  const quotas = {
    max_vcpus: 1,
    max_mem_mib: 1,
    max_running: 1,
    max_warm: 1,
    max_pools: 1,
    max_instances_per_pool: 1,
    max_disk_gib: 1,
  };
  const frame = (policy: object): Uint8Array => {
    const request = { EnsureTenant: { tenant_id: 'acme', net, quotas, policy } };
    return new TextEncoder().encode(JSON.stringify({ id: 1, request }));
  };
  const decode = (policy: object) => clientFrameCodec.decode(frame(policy)).type;

  it('has no fields but the known ones, at any level', () => {
    expect(decode({ egress: 'none' })).toBe('request');
    for (const policy of [
      { egres: 'none' },
      { limits: { mbit: 1 } },
      { deny: [{ cidr: '10.0.0.0/8', port: 22 }] },
      { publish: [] },
    ]) {
      expect(decode(policy)).toBe('invalid_request');
    }
  });

  it('still may have unknown fields beside it', () => {
    expect(decode({})).toBe('request');
    const body = JSON.stringify({
      id: 1,
      request: { EnsureTenant: { tenant_id: 'a', net, quotas, later: 1 } },
    });
    expect(clientFrameCodec.decode(new TextEncoder().encode(body)).type).toBe('request');
  });
});
