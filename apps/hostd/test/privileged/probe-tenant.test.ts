import { execFileSync } from 'node:child_process';
import { createNetworkExecutor, type NetworkExecutor } from '@mvm/net-executor/execute';
import { DEFAULT_CLUSTER_CIDR } from '@mvm/protocol/names';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { probeTenant } from '../../src/network-probe/probe-tenant.js';
import { netOf } from '../tenants.js';

const net = netOf(3);
let network: NetworkExecutor;

const nft = (...args: string[]) => execFileSync('nft', args, { stdio: 'pipe' });

beforeAll(async () => {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  network = createNetworkExecutor({ clusterCidr: DEFAULT_CLUSTER_CIDR, uplinks: [] });
  await network.reconcile({ tenants: [{ net, ports: [] }] });
  nft('add', 'table', 'inet', 'other');
  nft('add', 'chain', 'inet', 'other', 'pre', '{ type filter hook prerouting priority -310; }');
  nft('add', 'rule', 'inet', 'other', 'pre', 'iifname', net.bridge_name, 'meta', 'l4proto', 'tcp', 'drop');
});
afterAll(async () => {
  nft('delete', 'table', 'inet', 'other');
  await network.removeAll();
  await network.close();
});

const drift = { kind: 'link', name: net.bridge_name, state: 'missing' } as const;
const nothing = { drifts: [], checked: {} } as unknown as Awaited<ReturnType<NetworkExecutor['inspect']>>;
const damaged = { ...nothing, drifts: [drift] } as unknown as typeof nothing;

/** By how many probes were counted, of which the first look comes before all. */
test.each([
  ['skipped, when all stands', () => false, 'skipped'],
  ['not as wanted, when damage was repaired meanwhile', (counts: number) => counts < 2, 'not_as_wanted'],
  ['not as wanted, when damage came meanwhile', (counts: number) => counts >= 2, 'not_as_wanted'],
] as const)('what other software drops is %s', async (_what, isDamaged, outcome) => {
  let counts = 0;
  const drops = () => {
    counts += 1;
    return network.drops();
  };
  const probes = await probeTenant({
    network: { ...network, drops, inspect: async () => (isDamaged(counts) ? damaged : nothing) },
    net,
    otherNet: null,
    uidOf: () => 1_900_000_770,
    unused: { offset: 9, ip: '10.240.3.9' },
    mayReach: () => false,
  });
  expect(probes.find(({ name }) => name === 'host-tcp')?.outcome).toBe(outcome);
});
