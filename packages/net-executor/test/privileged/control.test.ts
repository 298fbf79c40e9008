import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR } from '../support/desired.js';
import { arp, BROADCAST, ethernet, type Parsed, TCP_SYN, tcp, udp } from '../support/frames.js';
import { enterTestHost, nft, sh } from '../support/host.js';
import { connects, pings, type RawPeer, settle } from '../support/raw-peer.js';
import {
  buildTopology,
  CONTAINER_ADDRESS,
  HOST_MAC,
  PUBLIC_ADDRESS,
  type Topology,
  UPLINK_ADDRESS,
} from '../support/topology.js';

const PLAIN_MASQUERADE = `
table ip plain {
  chain post { type nat hook postrouting priority 100; policy accept; ip saddr 10.240.0.0/12 oifname "up0" masquerade; }
}
`.replace('; }', '\n  }');

/**
 * The control of isolation.test.ts: the same guests and the same probes on a host with plain masquerading and none of our
 * rules. Every path that is closed there is open here, so the probes can tell the difference.
 */
describe('without our tables and routing rules', () => {
  let executor: NetworkExecutor;
  let topology: Topology;
  let server: Server;
  const gateway = '02:fc:00:01:00:01';

  function arrives(frame: Buffer, to: RawPeer, matches: (frame: Parsed) => boolean): boolean {
    settle(topology.peers);
    to.forget();
    topology.a1.sendFrame(frame);
    settle(topology.peers);
    return to.received.some(matches);
  }

  beforeAll(async () => {
    enterTestHost();
    executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
    topology = await buildTopology(executor, true);
    nft(`flush ruleset\n${PLAIN_MASQUERADE}`);
    sh('ip', 'rule', 'delete', 'pref', '90');
    sh('ip', 'rule', 'delete', 'pref', '91');
    server = createServer((socket) => socket.destroy());
    await new Promise<void>((done) => server.listen(22, '0.0.0.0', done));
  });

  afterAll(async () => {
    server.close();
    topology.close();
    await executor.removeAll();
  });

  it('another tenant is reached by routing, and so is its gateway', () => {
    const { a1, b1, peers } = topology;
    expect(connects(a1, gateway, b1.ip, 80, peers)).toBe('open');
    expect(pings(a1, gateway, '10.240.2.1', peers)).toBe(true);
  });

  it("the host's services are reached on every address", () => {
    const { a1, peers } = topology;
    for (const address of ['10.240.1.1', UPLINK_ADDRESS, '10.240.2.1', '172.17.0.1']) {
      expect(connects(a1, gateway, address, 22, peers)).toBe('open');
    }
  });

  it('a container is reached', () => {
    const { a1, peers } = topology;
    expect(connects(a1, gateway, CONTAINER_ADDRESS, 80, peers)).toBe('open');
  });

  it.each(['10.99.0.1', '172.20.0.1', '192.168.1.1', '169.254.169.254', '100.64.0.1', '198.18.0.1'])(
    'private or link-local address %s is reached',
    (address) => {
      const { a1, peers } = topology;
      expect(connects(a1, gateway, address, 80, peers)).toBe('open');
    },
  );

  it('a tenant without egress reaches the internet', () => {
    const { c1, peers } = topology;
    expect(connects(c1, '02:fc:00:03:00:01', PUBLIC_ADDRESS, 80, peers)).toBe('open');
  });

  it('outside and containers reach a guest', () => {
    const { a1, internet, container, peers } = topology;
    internet.sendTo(HOST_MAC, tcp(PUBLIC_ADDRESS, a1.ip, 4002, 80, TCP_SYN));
    container.sendTo('02:42:ac:11:00:01', tcp(CONTAINER_ADDRESS, a1.ip, 4003, 80, TCP_SYN));
    settle(peers);
    const sources = a1.received.filter(({ ip }) => ip?.tcpFlags === TCP_SYN).map(({ ip }) => ip?.src);
    expect(sources.toSorted()).toEqual([CONTAINER_ADDRESS, PUBLIC_ADDRESS]);
  });

  it('false addresses, MACs, ARP claims and DHCP servers are delivered', () => {
    const { a1, a2 } = topology;
    const packet = (source: string) => udp(source, a2.ip, 5000, 5001);
    for (const source of ['10.240.1.1', '10.240.2.3', '8.8.8.8']) {
      expect(
        arrives(ethernet(a2.mac, a1.mac, 0x0800, packet(source)), a2, ({ ip }) => ip?.src === source),
      ).toBe(true);
    }
    const mac = '02:12:34:56:78:9a';
    expect(arrives(ethernet(a2.mac, mac, 0x0800, packet(a1.ip)), a2, ({ src }) => src === mac)).toBe(true);
    const claim = arp({ operation: 2, senderMac: a1.mac, senderIp: '10.240.1.1', targetIp: '10.240.1.1' });
    expect(arrives(claim, a2, ({ arp: body }) => body?.senderIp === '10.240.1.1')).toBe(true);
    const offer = ethernet(BROADCAST, a1.mac, 0x0800, udp(a1.ip, '255.255.255.255', 67, 68));
    expect(arrives(offer, a2, ({ ip }) => ip?.sport === 67)).toBe(true);
  });

  it.each([0x86dd, 0x8100, 0x88a8, 0x88cc, 0x8035])('frames of type %i are delivered', (type) => {
    const { a1, a2 } = topology;
    // An IPv6 header where one is due: the kernel drops what is none.
    const body = Buffer.concat([Buffer.from('6000000000083aff', 'hex'), Buffer.alloc(40)]);
    const frame = ethernet(BROADCAST, a1.mac, type, body);
    expect(arrives(frame, a2, (seen) => seen.type === type || seen.src === a1.mac)).toBe(true);
  });
});
