import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NetworkWatchEvent } from '../../src/execute/index.js';
import { planNetwork, renderNftScript, type TenantPolicies } from '../../src/index.js';
import { createCommandRunner, observeNetwork } from '../../src/observe/index.js';
import { CLUSTER_CIDR, instancePort } from '../support/desired.js';
import { ethernet, udp } from '../support/frames.js';
import { enterTestHost, nft } from '../support/host.js';
import { buildPolicyHost, GATEWAY_A, type PolicyHost, TENANT_A, TENANT_B } from '../support/policy-host.js';
import { settle } from '../support/raw-peer.js';
import { PUBLIC_ADDRESS } from '../support/topology.js';

const DENIED = '203.0.113.77';
const POLICIES: TenantPolicies = {
  tenant: { isolate_instances: true, deny: [{ cidr: `${DENIED}/32` }] },
  pools: { db: { egress: 'none' } },
};
const ROUNDS = 30;

let host: PolicyHost;

beforeAll(async () => {
  enterTestHost();
  host = await buildPolicyHost();
});

afterAll(async () => {
  await host.close();
});

interface Totals {
  sent: number;
  /** Packets that came through though the policy forbids them. */
  leaked: number;
  /** Packets that the policy lets through. */
  delivered: number;
}

/** Sends what is forbidden in three ways, and what is allowed, while `during` runs. */
async function flood(during: Promise<unknown>): Promise<Totals> {
  const { web1, web2, db, internet, peers } = host;
  const frame = (to: string, dst: string, port: number) =>
    ethernet(to, web1.mac, 0x0800, udp(web1.ip, dst, port, port));
  const denied = frame(GATEWAY_A, DENIED, 6001);
  const neighbour = frame(web2.mac, web2.ip, 6002);
  const allowed = frame(GATEWAY_A, PUBLIC_ADDRESS, 6003);
  const ofDb = ethernet(GATEWAY_A, db.mac, 0x0800, udp(db.ip, PUBLIC_ADDRESS, 6004, 6004));
  let running = true;
  const ended = during.finally(() => {
    running = false;
  });
  const totals: Totals = { sent: 0, leaked: 0, delivered: 0 };
  while (running) {
    for (let i = 0; i < 25; i += 1) {
      web1.sendFrame(denied);
      web1.sendFrame(neighbour);
      web1.sendFrame(allowed);
      db.sendFrame(ofDb);
    }
    totals.sent += 25;
    takeIn(totals);
    await new Promise(setImmediate);
  }
  await ended;
  // A busy machine hands packets to a thread of the kernel, and the last ones come late.
  for (let i = 0; i < 300 && totals.delivered < totals.sent; i += 1) {
    await new Promise((done) => setTimeout(done, 10));
    takeIn(totals);
  }
  return totals;

  function takeIn(totals: Totals): void {
    settle(peers);
    const ports = [...internet.received, ...web2.received].flatMap(({ ip }) => ip?.dport ?? []);
    totals.leaked += ports.filter((port) => [6001, 6002, 6004].includes(port)).length;
    totals.delivered += ports.filter((port) => port === 6003).length;
    for (const peer of peers) peer.forget();
  }
}

it('the flood is heard without a policy', async () => {
  await host.give({});
  const { sent, leaked, delivered } = await flood(new Promise((done) => setTimeout(done, 50)));
  expect(delivered).toBe(sent);
  expect(leaked).toBe(3 * sent);
});

it(`${ROUNDS} whole reloads under a flood let nothing through that the policy forbids`, async () => {
  await host.give(POLICIES);
  const observed = await observeNetwork({ uplinks: ['up0'] });
  const context = { clusterCidr: CLUSTER_CIDR, uplinks: ['up0'], base: 'present' } as const;
  const ports = [
    instancePort(TENANT_A, 3, 'web'),
    instancePort(TENANT_A, 4, 'web'),
    instancePort(TENANT_A, 5, 'db'),
  ];
  const desired = {
    tenants: [
      { net: TENANT_A, ports, policies: POLICIES },
      { net: TENANT_B, ports: [instancePort(TENANT_B, 3, 'web')] },
    ],
  };
  const damaged = { ...observed, tables: 'damaged', tableFaults: ['test'] } as const;
  const script = renderNftScript(planNetwork(desired, damaged, context));
  expect(script).toMatch(/delete table inet mvm\n[\s\S]*add chain inet mvm p_/);
  const runner = createCommandRunner();
  const reloads = async () => {
    for (let i = 0; i < ROUNDS; i += 1) {
      expect(await runner.run('nft', ['-f', '-'], script)).toMatchObject({ exitCode: 0 });
    }
  };
  const { sent, leaked, delivered } = await flood(reloads());
  expect(sent).toBeGreaterThan(500);
  expect(leaked).toBe(0);
  // A packet that is being judged while all sets are replaced may be dropped.
  expect(delivered).toBeGreaterThan(sent * 0.9);
  expect(await host.executor.verify()).toEqual([]);
});

it(`${ROUNDS} changes of other fields under a flood open nothing in between`, async () => {
  const changes = async () => {
    for (let i = 0; i < ROUNDS; i += 1) {
      const limits = { connections: 100 + i };
      await host.executor.ensureTenant(TENANT_A, { ...POLICIES, tenant: { ...POLICIES.tenant, limits } });
      await host.executor.ensureTenant(TENANT_B, i % 2 === 0 ? { tenant: { limits } } : {});
    }
  };
  const { sent, leaked, delivered } = await flood(changes());
  expect(sent).toBeGreaterThan(500);
  expect(leaked).toBe(0);
  // A packet that is being judged while a new profile appears is dropped: one at most for each change.
  expect(sent - delivered).toBeLessThanOrEqual(2 * ROUNDS);
  expect(await host.executor.verify()).toEqual([]);
});

it('a flush is seen, and the policy restored by the watch', async () => {
  await host.give(POLICIES);
  const events: NetworkWatchEvent[] = [];
  const watch = host.executor.watch((event) => events.push(event));
  await watch.ready;
  nft('flush ruleset\n');
  for (let i = 0; i < 500 && events.length === 0; i += 1) await new Promise((done) => setTimeout(done, 10));
  expect(events.map(({ kind }) => kind)).toEqual(['restored']);
  const { sent, leaked, delivered } = await flood(new Promise((done) => setTimeout(done, 50)));
  expect({ leaked, lost: sent - delivered }).toEqual({ leaked: 0, lost: 0 });
  expect(await host.executor.verify()).toEqual([]);
  await watch.close();
});

it("a policy's chain that somebody deletes is restored by the watch", async () => {
  await host.give(POLICIES);
  const watch = host.executor.watch(() => undefined);
  await watch.ready;
  const observed = await observeNetwork({ uplinks: ['up0'] });
  const chain = Object.keys(observed.profiles[0]?.chains ?? {}).find((name) => name.endsWith('_out')) ?? '';
  nft(`flush chain inet mvm ${chain}\n`);
  let drifts = await host.executor.verify();
  for (let i = 0; i < 500 && drifts.length > 0; i += 1) {
    await new Promise((done) => setTimeout(done, 10));
    drifts = await host.executor.verify();
  }
  expect(drifts).toEqual([]);
  expect((await observeNetwork({ uplinks: ['up0'] })).profiles.map(({ id }) => id)).toHaveLength(
    observed.profiles.length,
  );
  await watch.close();
});
