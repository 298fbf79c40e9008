import { deriveTenantNet, macAddress, tapName } from '@mvm/protocol/names';
import { expect, it } from 'vitest';
import type { GuestPort, TenantPolicies } from '../../types.js';
import type { Destination, Route } from './path.js';
import { policySource } from './policy-source.js';
import { traceInbound } from './trace-inbound.js';
import { traceOutbound } from './trace-outbound.js';

// That the answers are the kernel's is shown in test/privileged/why.test.ts; here, how they are told.

const net = deriveTenantNet(3, '10.240.3.0/24');
const port = (offset: number, poolId: string): GuestPort => ({
  tapName: tapName(3, offset),
  mac: macAddress(3, offset),
  ipv4: `10.240.3.${offset}`,
  poolId,
  instanceId: `i-${offset}`,
});
const OUT: Route = { kind: 'link', link: 'eth0' };

function outbound(to: Destination, policies: TenantPolicies = {}, route: Route = OUT) {
  const [web, db] = [port(5, 'web'), port(6, 'db')];
  const tenant = { net, ports: [web, db], policies };
  const site = { tenants: [tenant], clusterCidr: '10.240.0.0/12', uplinks: ['eth0'] };
  return traceOutbound({ site, tenant, port: web, to, route });
}

it('tells the way of a packet in the order of the rules, to the one that decides', () => {
  const deny = [
    { cidr: '10.0.0.0/8' },
    { cidr: '203.0.113.0/24', protocol: 'tcp', first_port: 443 },
  ] as const;
  const answer = outbound(
    { address: '203.0.113.9', protocol: 'tcp', port: 443 },
    { tenant: { deny: [...deny] } },
  );
  expect(answer).toMatchObject({
    passes: false,
    counter: { table: 'inet mvm', name: 'c_denied' },
    follows: { field: 'deny[1]', of: 'sender' },
  });
  expect(
    answer.steps.map(({ chain, why }) => `${chain?.replace(/[0-9a-f]{16}/, 'X') ?? '-'}: ${why}`),
  ).toEqual([
    'pre: only what our TAPs send is judged',
    'guard: IPv4',
    'guard_ip: own MAC and address',
    'raw_pre: only what guests send is judged',
    '-: the host routes it to eth0',
    'forward: sent by a guest',
    'from_guest: to an uplink',
    "to_uplink: not the tenant's egress alone",
    "own_policy: the guest's own policy",
    'p_X_out: denied, entry 2',
  ]);
});

it('names the limits that a packet which passes is under', () => {
  const answer = outbound(
    { address: '1.1.1.1', protocol: 'udp', port: 53 },
    { tenant: { limits: { bandwidth_kbit: 1000 } } },
  );
  expect(answer).toMatchObject({ passes: true, counter: null, follows: { field: 'egress' } });
  expect(answer.limits.map(({ follows }) => [follows?.field, follows?.of])).toEqual([
    ['limits.bandwidth_kbit', 'sender'],
    ['limits.new_connections_per_second', 'sender'],
    ['limits.connections', 'sender'],
    // The tenant's own two: no policy says them.
    [undefined, undefined],
    [undefined, undefined],
    ['limits.bandwidth_kbit', 'receiver'],
  ]);
});

it.each([
  ['IPv6', { address: '2001:db8::1', protocol: 'tcp', port: 443 }, 'c_l2', null],
  ['the host', { address: '10.240.3.1', protocol: 'tcp', port: 22 }, 'c_hostin', null],
  ['a private address', { address: '10.1.2.3', protocol: 'icmp' }, 'c_private', 'egress'],
  ['a free address of the own subnet', { address: '10.240.3.77', protocol: 'icmp' }, null, null],
  ['another tenant', { address: '10.240.4.3', protocol: 'icmp' }, null, null],
  ['a loopback address', { address: '127.0.0.1', protocol: 'icmp' }, null, null],
] as const)('%s is not reached', (_what, to, counter, field) => {
  const answer = outbound(to);
  expect([answer.passes, answer.counter?.name ?? null, answer.follows?.field ?? null]).toEqual([
    false,
    counter,
    field,
  ]);
});

it('is not reached by an interface that is no uplink, or without a route', () => {
  const to = { address: '1.1.1.1', protocol: 'icmp' } as const;
  expect(outbound(to, {}, { kind: 'link', link: 'docker0' }).counter?.name).toBe('c_notuplink');
  expect(outbound(to, {}, { kind: 'none' })).toMatchObject({ passes: false, counter: null });
});

it('tells whose isolation keeps two neighbours apart', () => {
  const to = { address: '10.240.3.6', protocol: 'icmp' } as const;
  expect(outbound(to).passes).toBe(true);
  expect(outbound(to, { pools: { web: { isolate_instances: true } } }).follows).toEqual({
    field: 'isolate_instances',
    of: 'sender',
  });
  expect(outbound(to, { pools: { db: { isolate_instances: true } } }).follows?.of).toBe('receiver');
});

it('names the ports of the host that lead to a guest’s', () => {
  const publish = [8443, 443].map((host_port) => ({ protocol: 'tcp', host_port, guest_port: 80 }) as const);
  const tenant = { net, ports: [port(5, 'web')], policies: { pools: { web: { publish } } } };
  const site = { tenants: [tenant], clusterCidr: '10.240.0.0/12', uplinks: ['eth0'] };
  const question = { site, tenant, port: port(5, 'web'), protocol: 'tcp' } as const;
  expect(traceInbound({ ...question, guestPort: 80 })).toMatchObject({
    passes: true,
    hostPorts: [443, 8443],
    follows: { field: 'publish', of: 'receiver' },
  });
  expect(traceInbound({ ...question, guestPort: 81 })).toMatchObject({
    passes: false,
    hostPorts: [],
    counter: { name: 'c_unsolicited' },
  });
  expect(traceInbound({ ...question, guestPort: 80, site: { ...site, uplinks: [] } }).passes).toBe(false);
});

it.each([
  ['egress', 'pool'],
  ['deny[0]', 'tenant'],
  ['limits.connections', 'tenant'],
  ['limits.packets_per_second', 'pool'],
  ['limits.bandwidth_kbit', 'default'],
  ['isolate_instances', 'default'],
])('%s comes from the %s', (field, source) => {
  const policies: TenantPolicies = {
    tenant: { egress: 'none', deny: [], limits: { connections: 5 } },
    pools: { web: { egress: 'open', limits: { packets_per_second: 0 } } },
  };
  expect(policySource({ field, of: 'sender' }, policies, 'web')).toBe(source);
});
