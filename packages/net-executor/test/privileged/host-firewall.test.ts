import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findFirewallConflicts, type ReadProgram } from '../../src/diagnose/host-firewall/find-conflicts.js';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR } from '../support/desired.js';
import { enterTestHost, nft, sh } from '../support/host.js';
import { connects, pings, resolve, settle } from '../support/raw-peer.js';
import { buildTopology, PUBLIC_ADDRESS, type Topology } from '../support/topology.js';

enterTestHost();

// As dockerd sets them up for its default bridge.
function startDocker(iptables: string): void {
  const rules = `
    -P FORWARD DROP
    -N DOCKER
    -N DOCKER-ISOLATION-STAGE-1
    -N DOCKER-ISOLATION-STAGE-2
    -N DOCKER-USER
    -A FORWARD -j DOCKER-USER
    -A FORWARD -j DOCKER-ISOLATION-STAGE-1
    -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    -A FORWARD -o docker0 -j DOCKER
    -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
    -A FORWARD -i docker0 -o docker0 -j ACCEPT
    -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
    -A DOCKER-ISOLATION-STAGE-1 -j RETURN
    -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
    -A DOCKER-ISOLATION-STAGE-2 -j RETURN
    -A DOCKER-USER -j RETURN`;
  for (const line of rules.trim().split('\n')) sh(iptables, '-w', ...line.trim().split(' '));
}

function stopDocker(iptables: string): void {
  sh(iptables, '-P', 'FORWARD', 'ACCEPT');
  sh(iptables, '-F');
  sh(iptables, '-X');
}

// The shape of firewalld 1.x: what no zone has accepted is rejected.
const FIREWALLD = `
table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_FORWARD_ZONES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_ZONES { goto filter_FWD_public; }
  chain filter_FWD_public { iifname "up0" accept; reject with icmpx admin-prohibited; }
  chain filter_FWD_trusted { accept; }
}`;

const read: ReadProgram = async (program, args) => {
  const { status, stdout, stderr, error } = spawnSync(program, [...args], { encoding: 'utf8' });
  return error === undefined ? { exitCode: status ?? 1, stdout, stderr } : null;
};

let executor: NetworkExecutor;
let topology: Topology;
let gatewayMac: string;

beforeAll(async () => {
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  topology = await buildTopology(executor, true);
  gatewayMac = resolve(topology.a1, '10.240.1.1', topology.peers) ?? '';
});
beforeEach(() => {
  settle(topology.peers);
  for (const peer of topology.peers) peer.forget();
});
afterAll(async () => {
  topology.close();
  await executor.removeAll();
  await executor.close();
});

const egress = () => connects(topology.a1, gatewayMac, PUBLIC_ADDRESS, 80, topology.peers);
const neighbour = () => pings(topology.a1, topology.a2.mac, topology.a2.ip, topology.peers);
const crosses = () => pings(topology.a1, gatewayMac, topology.b1.ip, topology.peers);
const container = () => connects(topology.a1, gatewayMac, topology.container.ip, 80, topology.peers);

async function diagnose(bridgedPassIp: boolean) {
  let legacyTables: string | null = null;
  try {
    legacyTables = readFileSync('/proc/thread-self/net/ip_tables_names', 'utf8');
  } catch {
    // This kernel has no iptables-legacy.
  }
  const site = { bridge: 'br-tenant-1', uplinks: ['up0'], clusterCidr: CLUSTER_CIDR };
  const found = await findFirewallConflicts(read, { ...site, bridgedPassIp, legacyTables });
  if (found.blocks === null) throw new Error(found.problem);
  return found.blocks;
}

/** Runs the commands as an operator would, in a shell. */
function repair(fix: readonly string[]): void {
  for (const line of fix) execFileSync('/bin/sh', ['-c', line], { stdio: 'pipe' });
}

function isolationHolds(): void {
  expect(crosses()).toBe(false);
  expect(container()).toBe('no answer');
}

it('on a host of its own, nothing stops guests and nothing is found', async () => {
  expect(egress()).toBe('open');
  expect(neighbour()).toBe(true);
  isolationHolds();
  expect(await diagnose(false)).toEqual([]);
});

const legacyWorks = spawnSync('iptables-legacy', ['-S']).status === 0;

describe.each([
  { iptables: 'iptables-nft', works: true },
  { iptables: 'iptables-legacy', works: legacyWorks },
])("docker's rules by $iptables", ({ iptables, works }) => {
  it.skipIf(!works).each([
    { name: 'with bridges left alone', bridgedPassIp: false },
    { name: 'with br_netfilter', bridgedPassIp: true },
  ])('$name: egress dies, isolation holds, the fix restores it', async ({ bridgedPassIp }) => {
    sh('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${bridgedPassIp ? 1 : 0}`);
    startDocker(iptables);
    try {
      expect(egress()).toBe('no answer');
      expect(neighbour()).toBe(!bridgedPassIp);
      isolationHolds();
      const [block, ...more] = await diagnose(bridgedPassIp);
      expect(more).toEqual([]);
      expect(block).toMatchObject({
        software: 'docker',
        where: expect.stringContaining('FORWARD of ip filter'),
        effects: ['egress', 'answers', ...(bridgedPassIp ? ['same_tenant'] : [])],
      });
      repair(block?.fix ?? []);
      expect(egress()).toBe('open');
      expect(neighbour()).toBe(true);
      isolationHolds();
      expect(await diagnose(bridgedPassIp)).toEqual([]);
    } finally {
      stopDocker(iptables);
      sh('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0');
    }
  });
});

it("firewalld's chains: egress dies, isolation holds, a source in a zone that accepts restores it", async () => {
  nft(FIREWALLD);
  try {
    expect(egress()).not.toBe('open');
    expect(neighbour()).toBe(true);
    isolationHolds();
    const [block] = await diagnose(false);
    expect(block).toMatchObject({ software: 'firewalld', effects: ['egress'] });
    expect(block?.fix[0]).toBe(`firewall-cmd --permanent --zone=trusted --add-source=${CLUSTER_CIDR}`);
    // What that command makes of the chains.
    nft(`insert rule inet firewalld filter_FORWARD_ZONES ip saddr ${CLUSTER_CIDR} goto filter_FWD_trusted`);
    expect(egress()).toBe('open');
    isolationHolds();
    expect(await diagnose(false)).toEqual([]);
  } finally {
    sh('nft', 'delete', 'table', 'inet', 'firewalld');
  }
});

it("a host's own forward chain with policy drop: named, and the fix restores egress", async () => {
  nft(
    'table inet filter { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; }; }',
  );
  try {
    expect(egress()).toBe('no answer');
    isolationHolds();
    const [block] = await diagnose(false);
    expect(block).toMatchObject({
      software: 'another firewall',
      where: 'chain forward of inet filter (nft), by its policy',
    });
    repair(block?.fix ?? []);
    expect(egress()).toBe('open');
    isolationHolds();
    expect(await diagnose(false)).toEqual([]);
  } finally {
    sh('nft', 'delete', 'table', 'inet', 'filter');
  }
});

it('without root, it says that it cannot see', async () => {
  const asNobody: ReadProgram = (program, args) =>
    read('setpriv', [
      '--reuid',
      '65534',
      '--regid',
      '65534',
      '--clear-groups',
      '--bounding-set=-all',
      '--',
      program,
      ...args,
    ]);
  const site = { bridge: 'br-tenant-1', uplinks: ['up0'], clusterCidr: CLUSTER_CIDR, bridgedPassIp: false };
  expect(await findFirewallConflicts(asNobody, { ...site, legacyTables: null })).toEqual({
    blocks: null,
    problem: 'only root may see the rules of other software',
  });
});
