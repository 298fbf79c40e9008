import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR } from '../support/desired.js';
import {
  arp,
  BROADCAST,
  ethernet,
  ipBytes,
  type Parsed,
  ping,
  TCP_ACK,
  TCP_SYN,
  tcp,
  udp,
} from '../support/frames.js';
import { counter, enterTestHost, hostState, nft, sh } from '../support/host.js';
import { connects, pings, type RawPeer, resolve, settle } from '../support/raw-peer.js';
import {
  buildTopology,
  CONTAINER_ADDRESS,
  HOST_MAC,
  PUBLIC_ADDRESS,
  type Topology,
  UPLINK_ADDRESS,
} from '../support/topology.js';

// Docker's way to publish a container's port: everybody who reaches an address of the host reaches the container.
const DOCKER_RULES = `
table ip foreign {
  chain pre {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local tcp dport 8080 dnat to ${CONTAINER_ADDRESS}:8080
  }
  chain post {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 172.17.0.0/16 oifname "up0" masquerade
  }
}
`;

enterTestHost();

describe.each([
  { name: 'a host that forwarded nothing before', switchAll: false, brNetfilter: '0' },
  { name: 'a host with docker, which forwards everywhere', switchAll: true, brNetfilter: '0' },
  { name: 'the same with bridged packets passed to iptables', switchAll: true, brNetfilter: '1' },
])('$name', ({ switchAll, brNetfilter }) => {
  let executor: NetworkExecutor;
  let topology: Topology;
  let server: Server;
  let gatewayMac: string;

  /** Whether a packet that `from` sends shows up at `to`. The frame after it always does, so nothing can be late. */
  function arrives(from: RawPeer, frame: Buffer, to: RawPeer, matches: (frame: Parsed) => boolean): boolean {
    settle(topology.peers);
    to.forget();
    from.sendFrame(frame);
    settle(topology.peers);
    return to.received.some(matches);
  }

  const is = (src: string, dst: string) => (frame: Parsed) => frame.ip?.src === src && frame.ip.dst === dst;

  beforeAll(async () => {
    executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
    topology = await buildTopology(executor, switchAll);
    sh('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${brNetfilter}`);
    nft(DOCKER_RULES);
    // A service of the host on every address, like sshd; in the test's own namespace.
    server = createServer((socket) => socket.destroy());
    await new Promise<void>((done) => server.listen(22, '0.0.0.0', done));
    gatewayMac = resolve(topology.a1, '10.240.1.1', topology.peers) ?? '';
  });

  beforeEach(() => {
    settle(topology.peers);
    for (const peer of topology.peers) peer.forget();
  });

  afterAll(async () => {
    server.close();
    topology.close();
    await executor.removeAll();
    nft('delete table ip foreign');
    for (const name of ['up0', 'veth0', 'docker0']) {
      if (hostState().includes(name)) sh('ip', 'link', 'delete', name);
    }
    sh('sysctl', '-qw', 'net.ipv4.ip_forward=0');
  });

  describe('open, as wanted', () => {
    it('the gateway answers ARP and ping', () => {
      expect(gatewayMac).toBe('02:fc:00:01:00:01');
      expect(pings(topology.a1, gatewayMac, '10.240.1.1', topology.peers)).toBe(true);
    });

    it('guests of one tenant reach each other', () => {
      const { a1, a2, peers } = topology;
      const mac = resolve(a1, a2.ip, peers);
      expect(mac).toBe(a2.mac);
      expect(pings(a1, a2.mac, a2.ip, peers)).toBe(true);
      expect(connects(a1, a2.mac, a2.ip, 80, peers)).toBe('open');
    });

    it("guests reach the internet, under the host's address", () => {
      const { a1, internet, peers } = topology;
      expect(connects(a1, gatewayMac, PUBLIC_ADDRESS, 80, peers)).toBe('open');
      const seen = internet.received.filter(
        ({ ip }) => ip?.dst === PUBLIC_ADDRESS && ip.tcpFlags === TCP_SYN,
      );
      expect(seen.map(({ ip }) => ip?.src)).toEqual([UPLINK_ADDRESS]);
      expect(pings(a1, gatewayMac, PUBLIC_ADDRESS, peers)).toBe(true);
    });

    it('the host reaches its guests', () => {
      const { a1, peers } = topology;
      a1.forget();
      sh('bash', '-c', 'exec 3<>/dev/udp/10.240.1.3/9; echo hello >&3');
      settle(peers);
      expect(a1.received.some(is('10.240.1.1', a1.ip))).toBe(true);
    });

    it("a published port is reached by the outside, and answers under the host's address", () => {
      const { b1, internet, peers } = topology;
      expect(connects(internet, HOST_MAC, UPLINK_ADDRESS, 8443, peers)).toBe('open');
      expect(b1.received.some(({ ip }) => ip?.src === internet.ip && ip.dport === 80)).toBe(true);
    });

    it('a container is reached by the outside, as docker means it', () => {
      const { internet, peers } = topology;
      const wanted = switchAll ? 'open' : 'refused';
      internet.sendTo(HOST_MAC, tcp(PUBLIC_ADDRESS, UPLINK_ADDRESS, 4000, 8080, TCP_SYN));
      settle(peers);
      const open = internet.received.some(
        ({ ip }) => ip?.sport === 8080 && ip.tcpFlags === (TCP_SYN | TCP_ACK),
      );
      // Without docker's switch the uplink forwards for guests only.
      expect(open).toBe(wanted === 'open');
    });
  });

  describe('to another tenant', () => {
    it('by ARP: no answer comes', () => {
      const { a1, b1, peers } = topology;
      expect(resolve(a1, b1.ip, peers)).toBe(null);
      expect(resolve(a1, '10.240.2.1', peers)).toBe(null);
    });

    it('by its MAC: not on this bridge', () => {
      const { a1, a2, b1, peers } = topology;
      expect(connects(a1, b1.mac, b1.ip, 80, peers)).toBe('no answer');
      expect(arrives(a1, ethernet(b1.mac, a1.mac, 0x0800, ping(a1.ip, b1.ip, 1)), b1, () => true)).toBe(
        false,
      );
      expect(connects(a1, a2.mac, a2.ip, 80, peers)).toBe('open');
    });

    it('by routing: dropped', () => {
      const { a1, b1, peers } = topology;
      expect(connects(a1, gatewayMac, b1.ip, 80, peers)).toBe('no answer');
      expect(pings(a1, gatewayMac, b1.ip, peers)).toBe(false);
      expect(b1.received.filter(({ ip }) => ip?.src === a1.ip)).toEqual([]);
      expect(connects(b1, '02:fc:00:02:00:01', PUBLIC_ADDRESS, 80, peers)).toBe('open');
    });

    it('its gateway: dropped', () => {
      const { a1, peers } = topology;
      const before = counter('inet', 'c_hostin');
      expect(pings(a1, gatewayMac, '10.240.2.1', peers)).toBe(false);
      expect(counter('inet', 'c_hostin')).toBe(before + 1);
    });

    it('as an answer to a connection that never was: dropped', () => {
      const { a1, b1 } = topology;
      for (const flags of [TCP_SYN | TCP_ACK, TCP_ACK]) {
        const frame = ethernet(gatewayMac, a1.mac, 0x0800, tcp(a1.ip, b1.ip, 80, 4001, flags));
        expect(arrives(a1, frame, b1, is(a1.ip, b1.ip))).toBe(false);
      }
    });

    it('as an answer to a connection attempt of the other side: dropped', () => {
      const { a1, b1, peers } = topology;
      b1.sendTo('02:fc:00:02:00:01', udp(b1.ip, a1.ip, 7000, 7001));
      settle(peers);
      expect(a1.received.filter(({ ip }) => ip?.src === b1.ip)).toEqual([]);
      const reply = ethernet(gatewayMac, a1.mac, 0x0800, udp(a1.ip, b1.ip, 7001, 7000));
      expect(arrives(a1, reply, b1, is(a1.ip, b1.ip))).toBe(false);
    });
  });

  describe('to the host', () => {
    it.each([
      ['the own gateway', '10.240.1.1'],
      ["the uplink's address", UPLINK_ADDRESS],
      ["another tenant's gateway", '10.240.2.1'],
      ["the container bridge's address", '172.17.0.1'],
    ])('a service on %s: dropped', (_, address) => {
      const { a1, peers } = topology;
      expect(connects(a1, gatewayMac, address, 22, peers)).toBe('no answer');
    });

    it('the service is there, for the outside', () => {
      const { internet, peers } = topology;
      expect(connects(internet, HOST_MAC, UPLINK_ADDRESS, 22, peers)).toBe('open');
    });

    it('loopback through the gateway: dropped', () => {
      const { a1, peers } = topology;
      expect(connects(a1, gatewayMac, '127.0.0.1', 22, peers)).toBe('no answer');
    });

    it("ARP for the host's other addresses: no answer", () => {
      const { a1, peers } = topology;
      expect(resolve(a1, UPLINK_ADDRESS, peers)).toBe(null);
      expect(resolve(a1, '172.17.0.1', peers)).toBe(null);
      expect(resolve(a1, '10.240.1.1', peers)).toBe(gatewayMac);
    });
  });

  describe('to other networks of the host', () => {
    it('a container: dropped, directly and by its published port', () => {
      const { a1, container, peers } = topology;
      expect(connects(a1, gatewayMac, CONTAINER_ADDRESS, 80, peers)).toBe('no answer');
      expect(connects(a1, gatewayMac, UPLINK_ADDRESS, 8080, peers)).toBe('no answer');
      expect(connects(a1, gatewayMac, '10.240.1.1', 8080, peers)).toBe('no answer');
      expect(container.received.filter(({ ip }) => ip?.src === a1.ip)).toEqual([]);
    });

    it.each([
      '10.99.0.1',
      '172.20.0.1',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '198.18.0.1',
      '240.0.0.1',
    ])('private or link-local address %s: dropped', (address) => {
      const { a1, internet, peers } = topology;
      expect(connects(a1, gatewayMac, address, 80, peers)).toBe('no answer');
      expect(internet.received.filter(({ ip }) => ip?.dst === address)).toEqual([]);
    });

    it('a tenant without egress reaches nothing outside, and its gateway still', () => {
      const { c1, internet, peers } = topology;
      const gateway = '02:fc:00:03:00:01';
      expect(connects(c1, gateway, PUBLIC_ADDRESS, 80, peers)).toBe('no answer');
      expect(internet.received.filter(({ ip }) => ip?.dst === PUBLIC_ADDRESS)).toEqual([]);
      expect(pings(c1, gateway, '10.240.3.1', peers)).toBe(true);
    });
  });

  describe('from outside', () => {
    it("a guest's address by way of the uplink: dropped", () => {
      const { a1, internet, peers } = topology;
      internet.sendTo(HOST_MAC, tcp(PUBLIC_ADDRESS, a1.ip, 4002, 80, TCP_SYN));
      settle(peers);
      expect(a1.received.filter(({ ip }) => ip?.src === PUBLIC_ADDRESS)).toEqual([]);
    });

    it("a guest's address by way of a container: dropped", () => {
      const { a1, container, peers } = topology;
      container.sendTo('02:42:ac:11:00:01', tcp(CONTAINER_ADDRESS, a1.ip, 4003, 80, TCP_SYN));
      settle(peers);
      expect(a1.received.filter(({ ip }) => ip?.src === CONTAINER_ADDRESS)).toEqual([]);
    });

    it('a published port leads to its guest only, and not from another tenant', () => {
      const { a1, peers } = topology;
      expect(connects(a1, gatewayMac, UPLINK_ADDRESS, 8443, peers)).toBe('no answer');
      expect(connects(a1, gatewayMac, '10.240.1.1', 8443, peers)).toBe('no answer');
    });

    it('only guests are forwarded where we switched forwarding on', () => {
      const { container, internet, peers } = topology;
      internet.sendTo(HOST_MAC, tcp(PUBLIC_ADDRESS, CONTAINER_ADDRESS, 4004, 80, TCP_SYN));
      settle(peers);
      const reached = container.received.some(is(PUBLIC_ADDRESS, CONTAINER_ADDRESS));
      expect(reached).toBe(switchAll);
    });
  });

  describe('under a false name', () => {
    // The control for each: the same frame with the true addresses arrives.
    const probe = (src: string, dst: string, text = 'x') => udp(src, dst, 5000, 5001, text);

    it('the control arrives', () => {
      const { a1, a2 } = topology;
      const frame = ethernet(a2.mac, a1.mac, 0x0800, probe(a1.ip, a2.ip));
      expect(arrives(a1, frame, a2, is(a1.ip, a2.ip))).toBe(true);
    });

    it.each([
      ["its neighbour's", '10.240.1.4'],
      ["the gateway's", '10.240.1.1'],
      ["another tenant's", '10.240.2.3'],
      ['a public', '8.8.8.8'],
      ['a loopback', '127.0.0.1'],
    ])('%s address as source: dropped', (_, source) => {
      const { a1, a2, internet } = topology;
      const before = counter('bridge', 'c_ip');
      const toNeighbour = ethernet(a2.mac, a1.mac, 0x0800, probe(source, '10.240.1.4'));
      expect(arrives(a1, toNeighbour, a2, ({ ip }) => ip?.src === source)).toBe(false);
      const outside = ethernet(gatewayMac, a1.mac, 0x0800, probe(source, PUBLIC_ADDRESS));
      expect(arrives(a1, outside, internet, ({ ip }) => ip?.dst === PUBLIC_ADDRESS)).toBe(false);
      expect(counter('bridge', 'c_ip')).toBe(before + 2);
    });

    it.each([
      ["its neighbour's", '02:fc:00:01:00:04'],
      ["the gateway's", '02:fc:00:01:00:01'],
      ['a random', '02:12:34:56:78:9a'],
    ])('%s MAC as source: dropped, and not learned', (_, mac) => {
      const { a1, a2 } = topology;
      const frame = ethernet(a2.mac, mac, 0x0800, probe(a1.ip, a2.ip));
      expect(arrives(a1, frame, a2, ({ src }) => src === mac)).toBe(false);
      const learned: { mac: string; ifname: string }[] = JSON.parse(
        sh('bridge', '-j', 'fdb', 'show', 'br', 'br-tenant-1'),
      );
      expect(learned.filter((entry) => entry.ifname === 'tn1i3' && entry.mac === mac)).toEqual([]);
      expect(learned.some((entry) => entry.ifname === 'tn1i3' && entry.mac === a1.mac)).toBe(true);
    });

    it.each([
      ["the gateway's address", '10.240.1.1', {}],
      ["its neighbour's address", '10.240.1.4', {}],
      ['its own address with another MAC inside', '10.240.1.3', { senderMac: '02:12:34:56:78:9a' }],
    ])('ARP that claims %s: dropped', (_, senderIp, more) => {
      const { a1, a2 } = topology;
      for (const operation of [1, 2] as const) {
        const claim = { operation, senderMac: a1.mac, senderIp, targetIp: senderIp, src: a1.mac, ...more };
        expect(arrives(a1, arp(claim), a2, ({ arp: body }) => body?.senderIp === senderIp)).toBe(false);
      }
    });

    it('ARP for the own address, and the probe for a duplicate: pass', () => {
      const { a1, a2 } = topology;
      const own = arp({ operation: 1, senderMac: a1.mac, senderIp: a1.ip, targetIp: a1.ip });
      expect(arrives(a1, own, a2, ({ arp: body }) => body?.senderIp === a1.ip)).toBe(true);
      const probeArp = arp({ operation: 1, senderMac: a1.mac, senderIp: '0.0.0.0', targetIp: a1.ip });
      expect(arrives(a1, probeArp, a2, ({ arp: body }) => body?.senderIp === '0.0.0.0')).toBe(true);
    });

    it('a DHCP server: dropped; a DHCP client: passes; any other broadcast without an address: dropped', () => {
      const { a1, a2 } = topology;
      const offer = ethernet(BROADCAST, a1.mac, 0x0800, udp(a1.ip, '255.255.255.255', 67, 68));
      expect(arrives(a1, offer, a2, ({ ip }) => ip?.sport === 67)).toBe(false);
      const discover = ethernet(BROADCAST, a1.mac, 0x0800, udp('0.0.0.0', '255.255.255.255', 68, 67));
      expect(arrives(a1, discover, a2, ({ ip }) => ip?.sport === 68)).toBe(true);
      const stray = ethernet(BROADCAST, a1.mac, 0x0800, udp('0.0.0.0', '255.255.255.255', 68, 69));
      expect(arrives(a1, stray, a2, ({ ip }) => ip?.dport === 69)).toBe(false);
    });

    it.each([
      ['IPv6', 0x86dd, Buffer.concat([Buffer.from('6000000000083aff', 'hex'), Buffer.alloc(40)])],
      [
        'a VLAN tag',
        0x8100,
        Buffer.concat([Buffer.from('00640800', 'hex'), ping('10.240.1.3', '10.240.1.4', 9)]),
      ],
      [
        'a provider VLAN tag',
        0x88a8,
        Buffer.concat([Buffer.from('00640800', 'hex'), ping('10.240.1.3', '10.240.1.4', 9)]),
      ],
      ['LLDP', 0x88cc, Buffer.alloc(46)],
      ['RARP', 0x8035, Buffer.concat([Buffer.alloc(24), ipBytes('10.240.1.4')])],
    ])('%s: dropped', (_, type, body) => {
      const { a1, a2 } = topology;
      const before = counter('bridge', 'c_l2');
      const frame = ethernet(BROADCAST, a1.mac, type, body);
      expect(arrives(a1, frame, a2, (seen) => seen.type === type || seen.src === a1.mac)).toBe(false);
      expect(counter('bridge', 'c_l2')).toBe(before + 1);
    });
  });
});
