import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { planNetwork, renderNftScript } from '../../src/index.js';
import { createCommandRunner, observeNetwork } from '../../src/observe/index.js';
import { CLUSTER_CIDR } from '../support/desired.js';
import { ethernet, udp } from '../support/frames.js';
import { enterTestHost, nft, sh } from '../support/host.js';
import { connects, resolve, settle } from '../support/raw-peer.js';
import { buildTopology, PUBLIC_ADDRESS, type Topology } from '../support/topology.js';

const GATEWAY_A = '02:fc:00:01:00:01';
const RELOADS = 100;

let executor: NetworkExecutor;
let topology: Topology;

beforeAll(async () => {
  enterTestHost();
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  topology = await buildTopology(executor, true);
  const { a1, a2, b1, peers } = topology;
  resolve(a1, a2.ip, peers);
  resolve(a1, '10.240.1.1', peers);
  resolve(b1, '10.240.2.1', peers);
});

beforeEach(async () => {
  await executor.reconcile(topology.desired);
  for (const peer of topology.peers) peer.forget();
});

afterAll(async () => {
  topology.close();
  await executor.removeAll();
});

/** Floods the other tenant and the neighbour in turn while `during` runs; answers how much was sent and what arrived. */
async function flood(during: Promise<unknown>): Promise<{ sent: number; leaked: number; delivered: number }> {
  const { a1, a2, b1, peers } = topology;
  const across = ethernet(GATEWAY_A, a1.mac, 0x0800, udp(a1.ip, b1.ip, 6000, 6001));
  const within = ethernet(a2.mac, a1.mac, 0x0800, udp(a1.ip, a2.ip, 6000, 6001));
  let running = true;
  const ended = during.finally(() => {
    running = false;
  });
  const totals = { sent: 0, leaked: 0, delivered: 0 };
  while (running) {
    for (let i = 0; i < 50; i += 1) {
      a1.sendFrame(across);
      a1.sendFrame(within);
    }
    totals.sent += 50;
    settle(peers);
    totals.leaked += b1.received.filter(({ ip }) => ip?.dport === 6001).length;
    totals.delivered += a2.received.filter(({ ip }) => ip?.dport === 6001).length;
    for (const peer of peers) peer.forget();
    await new Promise(setImmediate);
  }
  await ended;
  return totals;
}

describe('under a flood', () => {
  it(`${RELOADS} whole reloads let no packet to another tenant, and lose none within one`, async () => {
    const observed = await observeNetwork({ uplinks: ['up0'] });
    const context = { clusterCidr: CLUSTER_CIDR, uplinks: ['up0'], base: 'present' } as const;
    const plan = planNetwork(
      topology.desired,
      { ...observed, tables: 'damaged', tableFaults: ['test'] },
      context,
    );
    const script = renderNftScript(plan);
    expect(script).toContain('delete table inet mvm');
    const runner = createCommandRunner();
    const reloads = async () => {
      for (let i = 0; i < RELOADS; i += 1) {
        expect(await runner.run('nft', ['-f', '-'], script)).toMatchObject({ exitCode: 0 });
      }
    };
    const { sent, leaked, delivered } = await flood(reloads());
    expect(sent).toBeGreaterThan(1000);
    expect(leaked).toBe(0);
    expect(delivered).toBe(sent);
    expect(await executor.verify()).toEqual([]);
  });

  it("somebody's `nft flush ruleset` lets no packet to another tenant", async () => {
    const flushAndWait = async () => {
      nft('flush ruleset\n');
      await new Promise((done) => setTimeout(done, 300));
    };
    const { sent, leaked, delivered } = await flood(flushAndWait());
    expect(sh('nft', 'list', 'ruleset')).toBe('');
    expect(sent).toBeGreaterThan(100);
    expect(leaked).toBe(0);
    expect(delivered).toBe(sent);
  });

  it('the routing rules do that: without them the same flush lets packets through', async () => {
    sh('ip', 'rule', 'delete', 'pref', '91');
    nft('flush ruleset\n');
    const { leaked } = await flood(new Promise((done) => setTimeout(done, 50)));
    expect(leaked).toBeGreaterThan(0);
    await executor.reconcile(topology.desired);
    expect((await flood(new Promise((done) => setTimeout(done, 50)))).leaked).toBe(0);
  });
});

describe('a ruleset that is loaded wrongly', () => {
  it('changes nothing, because a script is one transaction', async () => {
    const before = sh('nft', '-s', 'list', 'ruleset');
    expect(() => nft('delete table inet mvm\nadd element inet mvm nonsense { 1 }\n')).toThrow(/No such file/);
    expect(sh('nft', '-s', 'list', 'ruleset')).toBe(before);
    const { a1, peers } = topology;
    expect(connects(a1, GATEWAY_A, PUBLIC_ADDRESS, 80, peers)).toBe('open');
  });
});
