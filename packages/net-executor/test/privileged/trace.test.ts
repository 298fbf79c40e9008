import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type Destination,
  findRoute,
  type NetworkSite,
  type ReadProgram,
  type Route,
  traceInbound,
  traceOutbound,
} from '../../src/diagnose/index.js';
import type { TenantPolicies } from '../../src/index.js';
import { CLUSTER_CIDR, instancePort } from '../support/desired.js';
import { TCP_SYN, tcp, udp } from '../support/frames.js';
import { enterTestHost, sh } from '../support/host.js';
import { buildPolicyHost, GATEWAY_A, type PolicyHost, TENANT_A, TENANT_B } from '../support/policy-host.js';
import { samplePolicies } from '../support/policy-samples.js';
import { connects, pings, type RawPeer, settle } from '../support/raw-peer.js';
import { CONTAINER_ADDRESS, HOST_MAC, UPLINK_ADDRESS } from '../support/topology.js';

// What `traceOutbound` and `traceInbound` say of random policies and what the kernel does with the packet: whether it gets
// there and is answered, and which drop counter counts it.

const SEED = 20_260_101;
const POLICIES = 30;
const DESTINATIONS: readonly (readonly [
  address: string,
  protocol: Destination['protocol'],
  port?: number,
])[] = [
  ['10.240.1.3', 'tcp', 80],
  ['10.240.1.4', 'tcp', 80],
  ['10.240.1.5', 'icmp'],
  ['10.240.1.77', 'tcp', 80],
  ['10.240.1.1', 'icmp'],
  ['10.240.1.1', 'tcp', 22],
  [UPLINK_ADDRESS, 'tcp', 80],
  [UPLINK_ADDRESS, 'icmp'],
  ['172.17.0.1', 'tcp', 80],
  ['127.0.0.1', 'tcp', 80],
  ['10.240.2.1', 'icmp'],
  ['10.240.2.3', 'tcp', 80],
  ['10.240.2.3', 'icmp'],
  [CONTAINER_ADDRESS, 'tcp', 80],
  ['10.99.0.1', 'tcp', 80],
  ['10.99.0.1', 'icmp'],
  ['192.168.1.1', 'tcp', 443],
  ['100.64.0.1', 'udp', 53],
  ['169.254.169.254', 'tcp', 80],
  ['203.0.113.5', 'tcp', 80],
  ['203.0.113.5', 'tcp', 443],
  ['203.0.113.5', 'udp', 80],
  ['203.0.113.5', 'icmp'],
  ['203.0.113.6', 'tcp', 80],
  ['8.8.8.8', 'udp', 53],
];

let host: PolicyHost;
let before: ReadonlyMap<string, number>;

beforeAll(async () => {
  enterTestHost();
  host = await buildPolicyHost();
});

afterAll(async () => {
  await host.close();
});

/** Names of our drop counters that moved since the last call, with how many packets. */
function moved(): Record<string, number> {
  const listed = JSON.parse(sh('nft', '-j', 'list', 'counters')).nftables as { counter?: Counter }[];
  const now = new Map(
    listed.flatMap(({ counter }) =>
      counter?.table === 'mvm' ? [[`${counter.family} ${counter.name}`, counter.packets] as const] : [],
    ),
  );
  const differences = [...now].map(([name, packets]) => [name, packets - (before?.get(name) ?? 0)] as const);
  before = now;
  return Object.fromEntries(differences.filter(([, packets]) => packets !== 0));
}

interface Counter {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly packets: number;
}

function siteWith(policies: TenantPolicies): NetworkSite {
  const portsA = [
    instancePort(TENANT_A, 3, 'web'),
    instancePort(TENANT_A, 4, 'web'),
    instancePort(TENANT_A, 5, 'db'),
  ];
  return {
    tenants: [
      { net: TENANT_A, ports: portsA, policies },
      { net: TENANT_B, ports: [instancePort(TENANT_B, 3, 'web')] },
    ],
    clusterCidr: CLUSTER_CIDR,
    uplinks: ['up0'],
  };
}

const read: ReadProgram = async (program, args) => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { exitCode: status ?? 1, stdout, stderr };
};

const routes = new Map<string, Route>();

/** The host's routes stay the same throughout. */
async function routeTo(to: string, from: string): Promise<Route> {
  const known = routes.get(to) ?? (await findRoute(read, { to, from, bridge: 'br-tenant-1' }));
  routes.set(to, known);
  return known;
}

/** Whether a packet of a guest gets there and, but for UDP, is answered. */
function tries(from: RawPeer, { address, protocol, port = 0 }: Destination): boolean {
  const { peers } = host;
  for (const peer of peers) peer.forget();
  const neighbour = peers.find(({ ip }) => ip === address && ip.startsWith('10.240.1.'));
  const via = neighbour?.mac ?? GATEWAY_A;
  if (protocol === 'icmp') return pings(from, via, address, peers);
  if (protocol === 'tcp') return connects(from, via, address, port, peers) !== 'no answer';
  from.sendTo(via, udp(from.ip, address, 40_000, port));
  settle(peers);
  return peers.some(({ received }) => received.some(({ ip }) => ip?.protocol === 17 && ip.dst === address));
}

it('says of every destination under random policies what the kernel does, and by which counter', async () => {
  const wrong: object[] = [];
  const seen = { passed: 0, dropped: 0, counters: new Set<string>() };
  for (const policies of samplePolicies(POLICIES, SEED)) {
    await host.give(policies);
    const site = siteWith(policies);
    const [tenant] = site.tenants;
    if (tenant === undefined) throw new Error('tenant A is there');
    moved();
    for (const from of [host.web1, host.db]) {
      const port = tenant.ports.find(({ ipv4 }) => ipv4 === from.ip);
      for (const [address, protocol, number] of DESTINATIONS) {
        // A guest answers itself; and nobody answers ARP, which isolation may count.
        if (port === undefined || address === from.ip || address === '10.240.1.77') continue;
        const to = { address, protocol, port: number };
        const route = await routeTo(address, from.ip);
        const judged = traceOutbound({ site, tenant, port, to, route });
        const passes = tries(from, to);
        const counted = moved();
        const expected = judged.counter === null ? {} : { [nameOf(judged.counter)]: 1 };
        seen[judged.passes ? 'passed' : 'dropped'] += 1;
        if (judged.counter !== null) seen.counters.add(judged.counter.name);
        if (passes !== judged.passes || JSON.stringify(counted) !== JSON.stringify(expected)) {
          wrong.push({ policies: JSON.stringify(policies), from: from.ip, to, judged, passes, counted });
        }
      }
    }
  }
  expect(wrong).toEqual([]);
  // The samples are worth something: each verdict often, and by each rule that a policy or none has.
  expect(seen.passed).toBeGreaterThan(300);
  expect(seen.dropped).toBeGreaterThan(300);
  expect([...seen.counters].sort()).toEqual([
    'c_denied',
    'c_hostin',
    'c_isolated',
    'c_none',
    'c_notuplink',
    'c_private',
  ]);
}, 120_000);

function nameOf({ table, name }: { readonly table: string; readonly name: string }): string {
  return `${table.replace(' mvm', '')} ${name}`;
}

it('says of every guest’s port whether the outside reaches it, and by which port of the host', async () => {
  const wrong: object[] = [];
  const seen = { published: 0, not: 0 };
  for (const policies of samplePolicies(POLICIES, SEED + 1)) {
    await host.give(policies);
    const site = siteWith(policies);
    const [tenant] = site.tenants;
    if (tenant === undefined) throw new Error('tenant A is there');
    moved();
    for (const [guest, guestPort] of [
      [host.web1, 80],
      [host.web1, 81],
      [host.web2, 80],
      [host.db, 80],
    ] as const) {
      const port = tenant.ports.find(({ ipv4 }) => ipv4 === guest.ip);
      if (port === undefined) throw new Error('its port is there');
      const judged = traceInbound({ site, tenant, port, protocol: 'tcp', guestPort });
      for (const peer of host.peers) peer.forget();
      const [hostPort] = judged.hostPorts;
      let passes = false;
      if (hostPort === undefined) {
        host.internet.sendTo(HOST_MAC, tcp(host.internet.ip, guest.ip, 45_000, guestPort, TCP_SYN));
        settle(host.peers);
        passes = guest.received.some(({ ip }) => ip?.protocol === 6);
      } else {
        const answer = connects(host.internet, HOST_MAC, UPLINK_ADDRESS, hostPort, host.peers);
        const came = guest.received.some(({ ip }) => ip?.protocol === 6 && ip.dport === guestPort);
        passes = came && answer === (guestPort === 80 ? 'open' : 'refused');
      }
      const counted = moved();
      const expected = judged.counter === null ? {} : { [nameOf(judged.counter)]: 1 };
      seen[judged.passes ? 'published' : 'not'] += 1;
      if (passes !== judged.passes || JSON.stringify(counted) !== JSON.stringify(expected)) {
        wrong.push({
          policies: JSON.stringify(policies),
          guest: guest.ip,
          guestPort,
          judged,
          passes,
          counted,
        });
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(seen.published).toBeGreaterThan(10);
  expect(seen.not).toBeGreaterThan(30);
}, 120_000);
