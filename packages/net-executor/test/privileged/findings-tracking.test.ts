import { createSocket } from 'node:dgram';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { TENANT_LIMITS } from '../../src/index.js';
import { CLUSTER_CIDR, instancePort } from '../support/desired.js';
import { icmpError, TCP_ACK, TCP_RST, TCP_SYN, tcp, udp } from '../support/frames.js';
import { counter, enterTestHost, sh } from '../support/host.js';
import { type RawPeer, resolve, settle } from '../support/raw-peer.js';
import {
  buildTopology,
  HOST_MAC,
  PUBLIC_ADDRESS,
  plugIn,
  TENANT_A,
  TENANT_B,
  type Topology,
  UPLINK_ADDRESS,
} from '../support/topology.js';

// The findings of the security review about tracked connections, and about the VMM's own network, by their numbers.

enterTestHost();

const VMM_UID = 1_900_000_771;
let executor: NetworkExecutor;
let topology: Topology;
let gatewayMac: string;

function tracked(): string[] {
  return sh('conntrack', '-L', '-o', 'extended')
    .split('\n')
    .filter((line) => line !== '');
}

beforeAll(async () => {
  executor = createNetworkExecutor({
    clusterCidr: CLUSTER_CIDR,
    uplinks: 'auto',
    vmmUids: { first: 1_900_000_000, last: 1_901_048_575 },
  });
  topology = await buildTopology(executor, true);
  gatewayMac = resolve(topology.a1, '10.240.1.1', topology.peers) ?? '';
});

beforeEach(() => {
  sh('conntrack', '-F');
  settle(topology.peers);
  for (const peer of topology.peers) peer.forget();
});

afterAll(async () => {
  topology.close();
  await executor.removeAll();
});

describe('finding 4', () => {
  /** What a process without any right says of a datagram that it sends. */
  function sendAs(uid: number, address: string): string {
    const program = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.send('x', 9, '${address}', (error) => { process.stdout.write(error ? error.code : 'sent'); socket.close(); });
    `;
    return sh('setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'node', '-e', program);
  }

  it.each([
    ["another tenant's guest", '10.240.2.3'],
    ['its own guest', '10.240.1.3'],
    ["the host's loopback", '127.0.0.1'],
    ['the internet', PUBLIC_ADDRESS],
    ['a container', '172.17.0.2'],
  ])('the process of a VMM sends nothing to %s', (_what, address) => {
    const before = counter('inet', 'c_vmm');
    expect(sendAs(VMM_UID, address)).toBe('EPERM');
    expect(counter('inet', 'c_vmm')).toBeGreaterThan(before);
    settle(topology.peers);
    const arrived = topology.peers.filter(({ received }) => received.some(({ ip }) => ip?.dst === address));
    expect(arrived).toEqual([]);
  });

  it('a process of the host, and the guest through its TAP, do', () => {
    const { a1, internet, peers } = topology;
    expect(sendAs(65_534, PUBLIC_ADDRESS)).toBe('sent');
    a1.sendTo(gatewayMac, udp(a1.ip, PUBLIC_ADDRESS, 4000, 53));
    settle(peers);
    expect(internet.received.filter(({ ip }) => ip?.dst === PUBLIC_ADDRESS).length).toBe(2);
  });

  it('the range is part of what is verified', async () => {
    sh('nft', 'flush', 'set', 'inet', 'mvm', 'vmm_uids');
    expect(await executor.verify()).toMatchObject([
      { name: 'vmm_uids 1900000000-1901048575', state: 'missing' },
    ]);
    await executor.reconcile(topology.desired);
    expect(await executor.verify()).toEqual([]);
  });
});

describe('finding 6', () => {
  /** B's guest asks somebody outside from port 161; returns the port of the host that the question came from. */
  function askOutside(guest: RawPeer): number {
    const { internet, peers } = topology;
    internet.forget();
    guest.sendTo('02:fc:00:02:00:01', udp(guest.ip, PUBLIC_ADDRESS, 161, 9000));
    settle(peers);
    const asked = internet.received.find(({ ip }) => ip?.dst === PUBLIC_ADDRESS && ip.dport === 9000);
    return asked?.ip?.sport ?? 0;
  }

  function answer(port: number): void {
    topology.internet.sendTo(HOST_MAC, udp(PUBLIC_ADDRESS, UPLINK_ADDRESS, 9000, port, 'late'));
    settle(topology.peers);
  }

  it('a connection of an address ends with its port, and reaches no next guest there', async () => {
    const { b1, peers } = topology;
    const port = askOutside(b1);
    answer(port);
    expect(b1.received.some(({ ip }) => ip?.text === 'late')).toBe(true);
    const held = instancePort(TENANT_B, 3, 'web');
    b1.tap.close();
    await executor.detachPort(TENANT_B, held);
    expect(tracked().filter((line) => line.includes('10.240.2.3'))).toEqual([]);
    await executor.attachPort(TENANT_B, held);
    expect(tracked().filter((line) => line.includes('10.240.2.3'))).toEqual([]);
    const next = plugIn(2, 3);
    const all = [...peers.filter((peer) => peer !== b1), next];
    resolve(next, '10.240.2.1', all);
    next.forget();
    topology.internet.sendTo(HOST_MAC, udp(PUBLIC_ADDRESS, UPLINK_ADDRESS, 9000, port, 'late'));
    settle(all);
    expect(next.received.some(({ ip }) => ip?.text === 'late')).toBe(false);
    topology = { ...topology, b1: next, peers: all };
  });

  it('what an earlier life of hostd left ends before an instance gets the address', async () => {
    const port = instancePort(TENANT_B, 12);
    const outside = ['--dport', '9000', '-t', '600'];
    const opened = [
      '-s',
      port.ipv4,
      '-d',
      PUBLIC_ADDRESS,
      '--sport',
      '161',
      '-r',
      PUBLIC_ADDRESS,
      '-q',
      UPLINK_ADDRESS,
    ];
    sh(
      'conntrack',
      '-I',
      '-p',
      'udp',
      ...opened,
      '--reply-port-src',
      '9000',
      '--reply-port-dst',
      '161',
      ...outside,
    );
    const published = [
      '-s',
      PUBLIC_ADDRESS,
      '-d',
      UPLINK_ADDRESS,
      '--sport',
      '5',
      '-r',
      port.ipv4,
      '-q',
      PUBLIC_ADDRESS,
    ];
    sh(
      'conntrack',
      '-I',
      '-p',
      'udp',
      ...published,
      '--reply-port-src',
      '80',
      '--reply-port-dst',
      '5',
      ...outside,
    );
    expect(tracked().filter((line) => line.includes(port.ipv4)).length).toBe(2);
    await executor.attachPort(TENANT_B, port);
    expect(tracked().filter((line) => line.includes(port.ipv4))).toEqual([]);
    await executor.detachPort(TENANT_B, port);
  });

  it('of many addresses at once, those that have connections lose them', async () => {
    const ports = Array.from({ length: 20 }, (_, i) => instancePort(TENANT_B, 100 + i));
    const [, second] = ports;
    const opened = [
      '-s',
      second?.ipv4 ?? '',
      '-d',
      PUBLIC_ADDRESS,
      '--sport',
      '161',
      '--dport',
      '9000',
      '-t',
      '600',
    ];
    const kept = [
      '-s',
      '10.240.2.99',
      '-d',
      PUBLIC_ADDRESS,
      '--sport',
      '161',
      '--dport',
      '9000',
      '-t',
      '600',
    ];
    for (const entry of [opened, kept]) sh('conntrack', '-I', '-p', 'udp', ...entry);
    const { desired } = topology;
    await executor.reconcile({
      tenants: desired.tenants.map((tenant) =>
        tenant.net === TENANT_B ? { ...tenant, ports: [...tenant.ports, ...ports] } : tenant,
      ),
    });
    expect(tracked().filter((line) => line.includes(second?.ipv4 ?? ''))).toEqual([]);
    expect(tracked().filter((line) => line.includes('10.240.2.99')).length).toBe(1);
    await executor.reconcile(desired);
  });

  it('those of a guest that sleeps stand', async () => {
    const { a2 } = topology;
    const port = instancePort(TENANT_A, 9);
    sh(
      'conntrack',
      '-I',
      '-p',
      'udp',
      '-s',
      port.ipv4,
      '-d',
      PUBLIC_ADDRESS,
      '--sport',
      '5',
      '--dport',
      '53',
      '-t',
      '600',
    );
    await executor.attachPort(TENANT_A, port, { keepFlows: true });
    await executor.detachPort(TENANT_A, port, { keepFlows: true });
    expect(tracked().filter((line) => line.includes(port.ipv4)).length).toBe(1);
    expect(tracked().filter((line) => line.includes(a2.ip))).toEqual([]);
    await executor.attachPort(TENANT_A, port);
    expect(tracked().filter((line) => line.includes(port.ipv4))).toEqual([]);
    await executor.detachPort(TENANT_A, port);
  });
});

describe('finding 7', () => {
  it.each(['0', '1'])('traffic within a tenant makes no entry (bridge-nf-call-iptables=%s)', (value) => {
    const { a1, a2, peers } = topology;
    sh('sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`);
    for (let i = 0; i < 2000; i += 1) {
      // Whatever address they bear: what counts is that the frame is for the neighbour.
      const address = i % 2 === 0 ? a2.ip : `203.0.113.${i % 250}`;
      a1.sendTo(a2.mac, udp(a1.ip, address, 1000 + i, 9));
      a1.sendTo('ff:ff:ff:ff:ff:ff', udp(a1.ip, '10.240.1.255', 1000 + i, 9));
      a1.sendTo('01:00:5e:00:00:01', udp(a1.ip, '224.0.0.1', 1000 + i, 9));
      if (i % 100 === 0) settle(peers);
    }
    settle(peers);
    sh('sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0');
    expect(tracked().filter((line) => line.includes(a1.ip))).toEqual([]);
  });

  it('guests of a tenant together open no more than the tenant may, however few each holds', async () => {
    const { peers, internet, desired } = topology;
    const offsets = Array.from({ length: 12 }, (_, i) => 20 + i);
    const guests: RawPeer[] = [];
    for (const offset of offsets) {
      await executor.attachPort(TENANT_A, instancePort(TENANT_A, offset));
      guests.push(plugIn(1, offset));
    }
    const all = [...peers, ...guests];
    for (let attempt = 0; attempt < 500; attempt += 1) {
      if (guests.every((guest) => resolve(guest, '10.240.1.1', all) !== null)) break;
      await new Promise((done) => setTimeout(done, 10));
    }
    const before = counter('inet', 'c_tenant');
    // 12 guests × 400 at once are within each one's limits.
    const started = performance.now();
    for (let i = 0; i < 400; i += 1)
      for (const guest of guests) guest.sendTo(gatewayMac, udp(guest.ip, PUBLIC_ADDRESS, 10_000 + i, 9));
    const seconds = (performance.now() - started) / 1000;
    internet.pump();
    const opened = tracked().filter((line) => line.includes(`dst=${PUBLIC_ADDRESS}`)).length;
    expect(opened).toBeLessThanOrEqual(TENANT_LIMITS.newBurst + TENANT_LIMITS.newPerSecond * (seconds + 1));
    expect(opened).toBeGreaterThanOrEqual(TENANT_LIMITS.newBurst);
    expect(counter('inet', 'c_tenant')).toBeGreaterThan(before);
    for (const guest of guests) guest.tap.close();
    await executor.reconcile(desired);
  });

  it('a closed connection is forgotten after seconds, not minutes', () => {
    const { a1, internet, peers } = topology;
    a1.sendTo(gatewayMac, tcp(a1.ip, PUBLIC_ADDRESS, 5555, 80, TCP_SYN));
    settle(peers);
    expect(internet.received.some(({ ip }) => ip?.dport === 80)).toBe(true);
    a1.sendTo(gatewayMac, tcp(a1.ip, PUBLIC_ADDRESS, 5555, 80, TCP_ACK, 1001));
    a1.sendTo(gatewayMac, tcp(a1.ip, PUBLIC_ADDRESS, 5555, 80, TCP_RST | TCP_ACK, 1001));
    settle(peers);
    const entry = tracked().find((line) => line.includes('sport=5555'));
    expect(entry ?? '').toContain('CLOSE');
    const left = Number(/tcp\s+6 (\d+) CLOSE/.exec(entry ?? '')?.[1]);
    expect(left).toBeLessThanOrEqual(TENANT_LIMITS.closedSeconds);
  });
});

describe('finding 12', () => {
  it("an error about the host's own connection is dropped and counted", async () => {
    const { a1, peers } = topology;
    const socket = createSocket('udp4');
    const errors: string[] = [];
    socket.on('error', ({ message }) => errors.push(message));
    await new Promise<void>((done) => socket.connect(53, '203.0.113.7', done));
    const { port } = socket.address();
    await new Promise((done) => socket.send('x', done));
    settle(peers);
    const before = counter('inet', 'c_related');
    const quoted = udp(UPLINK_ADDRESS, '203.0.113.7', port, 53);
    for (const target of ['10.240.1.1', UPLINK_ADDRESS]) {
      a1.sendTo(gatewayMac, icmpError(a1.ip, target, 3, 3, quoted));
      a1.sendTo(gatewayMac, icmpError(a1.ip, target, 3, 4, quoted, 600));
    }
    settle(peers);
    await new Promise((done) => socket.send('x', done));
    await new Promise((done) => setTimeout(done, 50));
    socket.close();
    expect(errors).toEqual([]);
    // Those for the gateway's address do not fit to the connection that they quote, and are no part of it.
    expect(counter('inet', 'c_related')).toBe(before + 2);
    expect(sh('ip', 'route', 'get', '203.0.113.7')).not.toContain('mtu');
  });

  it("an error about another guest's connection does not leave, one about its own does", () => {
    const { a1, b1, internet, peers } = topology;
    const ask = (guest: RawPeer, gateway: string) => {
      guest.sendTo(gateway, udp(guest.ip, PUBLIC_ADDRESS, 161, 9000));
      settle(peers);
      const port = internet.received.findLast(({ ip }) => ip?.dport === 9000)?.ip?.sport ?? 0;
      internet.sendTo(HOST_MAC, udp(PUBLIC_ADDRESS, UPLINK_ADDRESS, 9000, port));
      settle(peers);
      internet.forget();
    };
    ask(b1, '02:fc:00:02:00:01');
    const before = counter('inet', 'c_related');
    a1.sendTo(gatewayMac, icmpError(a1.ip, PUBLIC_ADDRESS, 3, 3, udp(PUBLIC_ADDRESS, b1.ip, 9000, 161)));
    settle(peers);
    expect(internet.received.filter(({ ip }) => ip?.protocol === 1)).toEqual([]);
    expect(counter('inet', 'c_related')).toBe(before + 1);
    ask(a1, gatewayMac);
    a1.sendTo(gatewayMac, icmpError(a1.ip, PUBLIC_ADDRESS, 3, 3, udp(PUBLIC_ADDRESS, a1.ip, 9000, 161)));
    settle(peers);
    expect(internet.received.filter(({ ip }) => ip?.protocol === 1).length).toBe(1);
  });

  it("an error about the host's connection to this very guest is heard", async () => {
    const { a1, peers } = topology;
    const socket = createSocket('udp4');
    const errors: string[] = [];
    socket.on('error', ({ message }) => errors.push(message));
    await new Promise<void>((done) => socket.connect(77, a1.ip, done));
    await new Promise((done) => socket.send('x', done));
    settle(peers);
    const asked = a1.received.find(({ ip }) => ip?.dport === 77)?.ip;
    const quoted = udp(asked?.src ?? '', a1.ip, asked?.sport ?? 0, 77);
    a1.sendTo(gatewayMac, icmpError(a1.ip, '10.240.1.1', 3, 3, quoted));
    settle(peers);
    await new Promise((done) => setTimeout(done, 50));
    socket.send('x', () => undefined);
    await new Promise((done) => setTimeout(done, 50));
    socket.close();
    expect(errors.join()).toContain('ECONNREFUSED');
  });
});
