import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { DEFAULT_LIMITS } from '../../src/index.js';
import { CLUSTER_CIDR } from '../support/desired.js';
import { ethernet, ping, TCP_ACK, TCP_SYN, tcp, udp } from '../support/frames.js';
import { counter, enterTestHost, sh } from '../support/host.js';
import { connects, type RawPeer, settle } from '../support/raw-peer.js';
import { buildTopology, PUBLIC_ADDRESS, type Topology } from '../support/topology.js';

const GATEWAY_A = '02:fc:00:01:00:01';
const GATEWAY_B = '02:fc:00:02:00:01';

let executor: NetworkExecutor;
let topology: Topology;

/** Sends packets, letting the other side take them in before a queue (500 frames) overflows. */
function sendMany(from: RawPeer, gateway: string, packets: Iterable<Buffer>): void {
  let count = 0;
  for (const packet of packets) {
    from.sendFrame(ethernet(gateway, from.mac, 0x0800, packet));
    count += 1;
    if (count % 100 === 0) settle(topology.peers);
  }
  settle(topology.peers);
}

function* flows(src: string, count: number, firstPort: number): Generator<Buffer> {
  for (let i = 0; i < count; i += 1) yield udp(src, PUBLIC_ADDRESS, firstPort + i, 53);
}

const arrived = (count: (ip: { sport: number; dport: number; protocol: number }) => boolean) =>
  topology.internet.received.filter(({ ip }) => ip !== undefined && count(ip)).length;

beforeAll(async () => {
  enterTestHost();
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  topology = await buildTopology(executor, false);
  connects(topology.a1, GATEWAY_A, PUBLIC_ADDRESS, 80, topology.peers);
  connects(topology.b1, GATEWAY_B, PUBLIC_ADDRESS, 80, topology.peers);
});

beforeEach(() => {
  for (const peer of topology.peers) peer.forget();
});

afterAll(async () => {
  topology.close();
  await executor.removeAll();
});

describe('a guest that asks for too much', () => {
  it('has its pings to the gateway cut, and not those of another', () => {
    const { a1, b1, peers } = topology;
    const pingsOf = function* (src: string, gateway: string) {
      for (let i = 0; i < 500; i += 1) yield ping(src, gateway, 100 + i);
    };
    sendMany(a1, GATEWAY_A, pingsOf(a1.ip, '10.240.1.1'));
    const replies = a1.received.filter(({ ip }) => ip?.icmpType === 0).length;
    expect(replies).toBeGreaterThanOrEqual(DEFAULT_LIMITS.pingBurst);
    expect(replies).toBeLessThan(200);
    b1.sendTo(GATEWAY_B, ping(b1.ip, '10.240.2.1', 9));
    settle(peers);
    expect(b1.received.some(({ ip }) => ip?.icmpType === 0)).toBe(true);
  });

  it("has new flows cut, known ones and another guest's pass", () => {
    const { a1, b1, peers } = topology;
    const before = counter('inet', 'c_rate');
    sendMany(a1, GATEWAY_A, flows(a1.ip, 1500, 10_000));
    const passed = arrived(({ protocol, dport }) => protocol === 17 && dport === 53);
    expect(passed).toBeGreaterThanOrEqual(DEFAULT_LIMITS.newBurst);
    expect(passed).toBeLessThan(1000);
    expect(counter('inet', 'c_rate') - before).toBe(1500 - passed);
    expect(connects(b1, GATEWAY_B, PUBLIC_ADDRESS, 80, peers)).toBe('open');
  });

  it('keeps a stream of one flow, whatever its rate', () => {
    const { a2 } = topology;
    const stream = function* () {
      for (let i = 0; i < 3000; i += 1) yield udp(a2.ip, PUBLIC_ADDRESS, 9000, 9001);
    };
    sendMany(a2, GATEWAY_A, stream());
    expect(arrived(({ dport }) => dport === 9001)).toBe(3000);
  });
});

describe('egress taken away', () => {
  it('cuts a connection that stands, at once, and giving it back lets it go on', async () => {
    const { a2, internet, peers } = topology;
    const packet = (flags: number) => tcp(a2.ip, PUBLIC_ADDRESS, 31_000, 80, flags, 5002);
    const data = () => {
      internet.forget();
      a2.sendTo(GATEWAY_A, packet(TCP_ACK));
      settle(peers);
      return internet.received.some(({ ip }) => ip?.dst === PUBLIC_ADDRESS && ip.protocol === 6);
    };
    a2.sendTo(GATEWAY_A, packet(TCP_SYN));
    settle(peers);
    expect(data()).toBe(true);
    const [tenant, ...others] = topology.desired.tenants;
    if (tenant === undefined) throw new Error('no tenant');
    await executor.reconcile({
      tenants: [{ ...tenant, policies: { tenant: { egress: 'none' } } }, ...others],
    });
    expect(data()).toBe(false);
    await executor.reconcile(topology.desired);
    expect(data()).toBe(true);
    expect(sh('nft', 'list', 'map', 'inet', 'mvm', 'egress')).toContain('goto egress_internet');
  });
});
