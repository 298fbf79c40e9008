import { createSocket, type Socket } from 'node:dgram';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR, instancePort } from '../support/desired.js';
import { arp, BROADCAST, ethernet, ping, udp } from '../support/frames.js';
import { counter, enterTestHost, sh } from '../support/host.js';
import { pings, type RawPeer, resolve, settle } from '../support/raw-peer.js';
import { openTap } from '../support/tap-device.js';
import {
  buildTopology,
  PUBLIC_ADDRESS,
  TENANT_A,
  type Topology,
  UPLINK_ADDRESS,
} from '../support/topology.js';

// The findings of the security review about layer 2, by their numbers.

enterTestHost();

const LINK_LOCAL = Array.from({ length: 16 }, (_, i) => `01:80:c2:00:00:0${i.toString(16)}`);
const OTHER_DESTINATIONS = [
  BROADCAST,
  '01:00:5e:00:00:01',
  '33:33:00:00:00:01',
  '01:00:0c:cc:cc:cc',
  // The bridge's own, and the TAPs'.
  '02:fc:00:01:00:01',
  'fe:fc:00:01:00:03',
  'fe:fc:00:01:00:04',
];
const DESTINATIONS = [...LINK_LOCAL, ...OTHER_DESTINATIONS];
const FOREIGN_MAC = '02:00:00:00:be:ef';
const SERVICE_PORT = 5300;

let executor: NetworkExecutor;
let topology: Topology;
let service: Socket;
let gatewayMac: string;
const heard: string[] = [];

/** A host on which what IP would refuse by itself comes through: Linux's defaults, not a distribution's. */
function openHost(): void {
  for (const name of ['all', 'default', 'tn1i3', 'tn1i4']) {
    sh('sysctl', '-qw', `net.ipv4.conf.${name}.rp_filter=0`);
  }
}

/** What has been learned, and what is static, behind tenant A's ports: `<mac> <port>`. */
function forwardingTable(): string[] {
  const entries: { mac: string; ifname: string; master?: string; state: string }[] = JSON.parse(
    sh('bridge', '-j', 'fdb', 'show', 'br', 'br-tenant-1'),
  );
  return entries
    .filter(({ master, state }) => master !== undefined && state !== 'permanent')
    .map(({ mac, ifname }) => `${mac} ${ifname}`)
    .toSorted();
}

function neighbours(): string {
  return sh('ip', 'neigh', 'show', 'dev', 'tn1i3');
}

/** Every kind of frame that a bridge, or the host behind it, might take for its own business. */
function frames(dst: string, src: string, sender: RawPeer): readonly [string, Buffer][] {
  const { b1, a2 } = topology;
  const llc = (bytes: readonly number[]) => ethernet(dst, src, bytes.length, Buffer.from(bytes));
  return [
    [
      'UDP to the uplink address',
      ethernet(dst, src, 0x0800, udp(sender.ip, UPLINK_ADDRESS, 4001, SERVICE_PORT)),
    ],
    ['UDP from another tenant', ethernet(dst, src, 0x0800, udp(b1.ip, UPLINK_ADDRESS, 4001, SERVICE_PORT))],
    [
      'UDP from a public address',
      ethernet(dst, src, 0x0800, udp(PUBLIC_ADDRESS, '10.240.2.1', 4001, SERVICE_PORT)),
    ],
    ['ping of the uplink address', ethernet(dst, src, 0x0800, ping(sender.ip, UPLINK_ADDRESS, 7))],
    [
      'ARP as a neighbour',
      arp({ operation: 1, senderMac: src, senderIp: a2.ip, targetIp: '10.240.1.1', src, dst }),
    ],
    [
      'ARP for the uplink',
      arp({ operation: 1, senderMac: src, senderIp: sender.ip, targetIp: UPLINK_ADDRESS, src, dst }),
    ],
    ['IPv6', ethernet(dst, src, 0x86dd, Buffer.alloc(60, 0x60))],
    ['LLDP', ethernet(dst, src, 0x88cc, Buffer.from([0x02, 0x07, 0x04, 1, 2, 3, 4, 5, 6, 0, 0]))],
    ['802.1X', ethernet(dst, src, 0x888e, Buffer.from([1, 1, 0, 0]))],
    ['LACP', ethernet(dst, src, 0x8809, Buffer.from([1, 1, 1, 20]))],
    ['PAUSE', ethernet(dst, src, 0x8808, Buffer.from([0, 1, 0xff, 0xff]))],
    ['STP', llc([0x42, 0x42, 3, 0, 0, 0, 0, 0, 0, 0])],
    ['VLAN', ethernet(dst, src, 0x8100, Buffer.from([0, 1, 0x88, 0xcc]))],
  ];
}

beforeAll(async () => {
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  topology = await buildTopology(executor, false);
  openHost();
  service = createSocket('udp4');
  service.on('message', (_, { address }) => heard.push(address));
  await new Promise<void>((done) => service.bind(SERVICE_PORT, '0.0.0.0', done));
  gatewayMac = resolve(topology.a1, '10.240.1.1', topology.peers) ?? '';
});

beforeEach(() => {
  settle(topology.peers);
  for (const peer of topology.peers) peer.forget();
});

afterAll(async () => {
  service.close();
  topology.close();
  await executor.removeAll();
});

describe('finding 1', () => {
  it.each(DESTINATIONS)(
    'nothing but what the guard lets pass is learned or delivered: to %s',
    async (dst) => {
      const { a1, a2, b1, internet, peers } = topology;
      const before = forwardingTable();
      heard.length = 0;
      const arrived: string[] = [];
      for (const src of [a1.mac, a2.mac, FOREIGN_MAC]) {
        for (const [what, frame] of frames(dst, src, a1)) {
          for (const peer of peers) peer.forget();
          a1.sendFrame(frame);
          settle(peers);
          const answered = a1.received.length + b1.received.length + internet.received.length;
          if (answered > 0) arrived.push(`${what} from ${src}: answered`);
          // Own-tenant IPv4 and ARP to a group or to all is what a neighbour may get, under the guest's own name.
          if (a2.received.some((seen) => seen.src !== a1.mac || seen.dst.startsWith('01:80:c2')))
            arrived.push(`${what} from ${src}: at the neighbour`);
        }
      }
      await new Promise((done) => setImmediate(done));
      expect(arrived).toEqual([]);
      expect(heard).toEqual([]);
      expect(forwardingTable()).toEqual(before);
      expect(neighbours()).toBe('');
    },
  );

  it.each(LINK_LOCAL.filter((dst) => !dst.endsWith('01')))('a frame to %s is counted', (dst) => {
    const { a1, peers } = topology;
    const before = counter('bridge', 'c_linklocal');
    a1.sendFrame(ethernet(dst, a1.mac, 0x88cc, Buffer.alloc(46)));
    settle(peers);
    expect(counter('bridge', 'c_linklocal')).toBe(before + 1);
  });

  it('the host still finds a neighbour whose MAC somebody claimed', () => {
    const { a1, a2, peers } = topology;
    for (const dst of LINK_LOCAL) a1.sendFrame(ethernet(dst, a2.mac, 0x88cc, Buffer.alloc(46)));
    settle(peers);
    for (const peer of peers) peer.forget();
    sh('bash', '-c', `exec 3<>/dev/udp/${a2.ip}/9; echo hello >&3`);
    settle(peers);
    const here = (peer: RawPeer) => peer.received.some(({ ip }) => ip?.dst === a2.ip);
    expect([here(a2), here(a1)]).toEqual([true, false]);
  });

  it('100000 frames under as many names leave no entry in the forwarding table', () => {
    const { a1, peers } = topology;
    const before = forwardingTable();
    for (let i = 0; i < 100_000; i += 1) {
      const mac = `02:aa:${[16, 8, 0].map((shift) => ((i >> shift) & 255).toString(16).padStart(2, '0')).join(':')}:01`;
      a1.sendFrame(ethernet(LINK_LOCAL[2 + (i % 14)] ?? '', mac, 0x88cc, Buffer.alloc(46)));
    }
    settle(peers);
    expect(forwardingTable()).toEqual(before);
  });

  it.each([
    ['learning', 'ip link set tn1i3 type bridge_slave learning on', 'learning is on, should be off'],
    ['flooding', 'ip link set tn1i3 type bridge_slave flood on', 'flood is on, should be off'],
    [
      'the mask',
      'ip link set tn1i3 type bridge_slave group_fwd_mask 0',
      'group_fwd_mask is 0, should be 0xfffd',
    ],
    [
      'the bridge',
      'ip link set br-tenant-1 type bridge no_linklocal_learn 0',
      'no_linklocal_learn is 0, should be 1',
    ],
    ['ARP', 'ip link set tn1i3 arp on', 'arp is on, should be off'],
    ['the entry', 'bridge fdb delete 02:fc:00:01:00:03 dev tn1i3 master', 'the bridge has no static entry'],
    [
      'an entry',
      `bridge fdb add ${FOREIGN_MAC} dev tn1i3 master static`,
      `the bridge has learned ${FOREIGN_MAC}`,
    ],
  ])('verify sees %s changed, and reconcile repairs it', async (_what, command, detail) => {
    const [program = '', ...args] = command.split(' ');
    sh(program, ...args);
    const drifts = await executor.verify();
    expect(drifts).toMatchObject([{ state: 'different', detail: expect.stringContaining(detail) }]);
    await executor.reconcile(topology.desired);
    expect(await executor.verify()).toEqual([]);
    expect(pings(topology.a1, gatewayMac, '10.240.1.1', topology.peers)).toBe(true);
  });

  it('each wall holds alone: with the mask gone, the host takes no IP and no ARP from a port itself', async () => {
    const { a1, peers } = topology;
    sh('ip', 'link', 'set', 'tn1i3', 'type', 'bridge_slave', 'group_fwd_mask', '0');
    const before = counter('inet', 'c_port');
    heard.length = 0;
    for (const [, frame] of frames('01:80:c2:00:00:0e', a1.mac, a1)) a1.sendFrame(frame);
    settle(peers);
    await new Promise((done) => setImmediate(done));
    expect(heard).toEqual([]);
    expect(a1.received).toEqual([]);
    expect(neighbours()).toBe('');
    expect(counter('inet', 'c_port')).toBeGreaterThan(before);
    await executor.reconcile(topology.desired);
  });
});

describe('a host of 8c06d73', () => {
  it('is brought to the new settings without a guest being cut off', async () => {
    const { a1, a2, peers } = topology;
    // As that version left them.
    sh('ip', 'link', 'set', 'br-tenant-1', 'type', 'bridge', 'no_linklocal_learn', '0');
    for (const tap of ['tn1i3', 'tn1i4']) {
      sh(
        'ip',
        'link',
        'set',
        tap,
        'arp',
        'on',
        'address',
        tap === 'tn1i3' ? '7e:ba:1a:10:1d:39' : '7e:ba:1a:10:1d:40',
      );
      sh(
        'ip',
        'link',
        'set',
        tap,
        'type',
        'bridge_slave',
        'learning',
        'on',
        'flood',
        'on',
        'group_fwd_mask',
        '0',
      );
    }
    for (const peer of [a1, a2])
      sh('bridge', 'fdb', 'delete', peer.mac, 'dev', peer === a1 ? 'tn1i3' : 'tn1i4', 'master');
    expect(pings(a1, a2.mac, a2.ip, peers)).toBe(true);
    expect((await executor.verify()).length).toBeGreaterThan(10);
    const { steps } = await executor.reconcile(topology.desired);
    expect(steps.map(({ kind }) => kind).filter((kind) => /create|delete|down|leave/.test(kind))).toEqual([]);
    expect(await executor.verify()).toEqual([]);
    expect(pings(a1, a2.mac, a2.ip, peers)).toBe(true);
    expect(pings(a1, gatewayMac, '10.240.1.1', peers)).toBe(true);
  });
});

describe('frames to other guests', () => {
  it('unicast for a neighbour that is silent, asleep or isolated reaches no other TAP', async () => {
    const { a1, a2, peers, desired } = topology;
    const [first, ...others] = desired.tenants;
    const isolated = {
      ...first,
      net: TENANT_A,
      ports: first?.ports ?? [],
      policies: { tenant: { isolate_instances: true } },
    };
    await executor.reconcile({ tenants: [isolated, ...others] });
    try {
      // Known to the host by ARP, and gone from the bridge: its port is detached, as a sleeping guest's is.
      sh('ip', 'neigh', 'replace', '10.240.1.77', 'lladdr', '02:fc:00:01:00:4d', 'dev', 'br-tenant-1');
      for (const address of ['10.240.1.77', a2.ip]) {
        settle(peers);
        for (const peer of peers) peer.forget();
        sh('bash', '-c', `exec 3<>/dev/udp/${address}/9; echo hello >&3`);
        settle(peers);
        expect(a1.received.filter(({ ip }) => ip !== undefined)).toEqual([]);
      }
    } finally {
      sh('ip', 'neigh', 'del', '10.240.1.77', 'dev', 'br-tenant-1');
      await executor.reconcile(desired);
    }
  });

  it('a bridge that floods nevertheless is stopped at the port, and counted', async () => {
    const { a1, peers, desired } = topology;
    sh('ip', 'link', 'set', 'tn1i3', 'type', 'bridge_slave', 'flood', 'on');
    sh('ip', 'neigh', 'replace', '10.240.1.77', 'lladdr', '02:fc:00:01:00:4d', 'dev', 'br-tenant-1');
    const before = counter('bridge', 'c_foreign');
    sh('bash', '-c', 'exec 3<>/dev/udp/10.240.1.77/9; echo hello >&3');
    settle(peers);
    expect(a1.received.filter(({ ip }) => ip !== undefined)).toEqual([]);
    expect(counter('bridge', 'c_foreign')).toBe(before + 1);
    sh('ip', 'neigh', 'del', '10.240.1.77', 'dev', 'br-tenant-1');
    await executor.reconcile(desired);
  });
});

describe('finding 18', () => {
  it.each([
    ['MAC', ['address', '02:fc:00:01:00:04'], 'MAC is 02:fc:00:01:00:04, should be fe:fc:00:01:00:03'],
    ['MTU', ['mtu', '9000'], 'mtu is 9000, should be 1500'],
  ] as const)("a TAP's %s changed from outside is reported, and repaired", async (_what, args, detail) => {
    const { a1, a2, peers, desired } = topology;
    sh('ip', 'link', 'set', 'dev', 'tn1i3', ...args);
    expect((await executor.verify()).map((drift) => drift.detail)).toContain(detail);
    await executor.reconcile(desired);
    expect(await executor.verify()).toEqual([]);
    expect(pings(a1, a2.mac, a2.ip, peers)).toBe(true);
  });

  it("a bridge's MTU that follows a TAP's is put right with it", async () => {
    sh('ip', 'link', 'set', 'dev', 'tn1i3', 'mtu', '600');
    expect((await executor.verify()).map(({ name }) => name)).toContain('br-tenant-1');
    await executor.reconcile(topology.desired);
    const [bridge] = JSON.parse(sh('ip', '-j', 'link', 'show', 'br-tenant-1'));
    expect(bridge.mtu).toBe(1500);
    expect(await executor.verify()).toEqual([]);
  });

  it('no MAC of a TAP is ever a MAC of a guest', async () => {
    const net = TENANT_A;
    const port = instancePort(net, 9);
    await executor.attachPort(net, port);
    const tap = openTap(port.tapName);
    const [link] = JSON.parse(sh('ip', '-j', 'link', 'show', port.tapName));
    expect(link.address).toBe('fe:fc:00:01:00:09');
    tap.close();
    await executor.detachPort(net, port);
  });
});

describe('finding 19', () => {
  it('UDP 68 to 67 reaches no address of the host but its own gateway', async () => {
    const { a1, peers } = topology;
    const before = counter('inet', 'c_hostin');
    for (const address of [UPLINK_ADDRESS, '10.240.2.1']) a1.sendTo(gatewayMac, udp(a1.ip, address, 68, 67));
    settle(peers);
    expect(counter('inet', 'c_hostin')).toBe(before + 2);
  });

  it.each([67, 6767, 40_000])('a DHCP answer from port %i reaches no neighbour', (port) => {
    const { a1, a2, peers } = topology;
    const before = counter('bridge', 'c_dhcpsrv');
    for (const dst of [a2.mac, BROADCAST]) a1.sendTo(dst, udp(a1.ip, a2.ip, port, 68));
    settle(peers);
    expect(a2.received.filter(({ ip }) => ip?.dport === 68)).toEqual([]);
    expect(counter('bridge', 'c_dhcpsrv')).toBe(before + 2);
  });
});
