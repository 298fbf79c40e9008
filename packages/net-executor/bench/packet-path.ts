import { createNetworkExecutor } from '../src/execute/index.js';
import { type DesiredHostNetwork, renderNftScript, spellOut } from '../src/index.js';
import { observeNetwork } from '../src/observe/index.js';
import { ethernet, udp } from '../test/support/frames.js';
import { nft, sh, waitForCarrier } from '../test/support/host.js';
import { createRawPeer, resolve, settle } from '../test/support/raw-peer.js';
import { openTap } from '../test/support/tap-device.js';
import { plugIn } from '../test/support/topology.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../test/support/wish.js';
import { makeNamespace } from './namespaces.js';
import { median } from './statistics.js';

const PACKETS = 4_000;
const BURST = 200;
const ROUNDS = 9;
const DESTINATION = '203.0.113.5';
const PLAIN = `
table ip plain {
  chain post {
    type nat hook postrouting priority 100; policy accept;
    oifname "up0" masquerade
  }
}
`;

interface PacketFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

function wish(count: number): DesiredHostNetwork {
  const tenants = Array.from({ length: count }, (_, i) => ({
    net: tenantNet(i + 1),
    ports: [instancePort(tenantNet(i + 1), 3)],
  }));
  return { tenants };
}

/**
 * The time of one packet from a guest's TAP through guard, routing, filter and NAT to the uplink's TAP, with no rules but a
 * plain masquerade, with one tenant, and with `tenants`. Every packet is received, else it throws.
 */
export async function measurePacketPath(tenants: number): Promise<PacketFigure[]> {
  const measured: Record<'plain' | 'one' | 'many', number[]> = { plain: [], one: [], many: [] };
  const namespace = makeNamespace();
  const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
  await executor.reconcile(wish(1));
  const uplink = createRawPeer({
    tap: openTap('up0'),
    mac: '02:00:00:00:00:fe',
    ip: '198.51.100.2',
    addresses: 'any',
  });
  const guest = plugIn(1, 3);
  const peers = [uplink, guest];
  await waitForCarrier(['up0', 'tn1i3', 'br-tenant-1']);
  resolve(guest, '10.240.1.1', peers);
  const frame = ethernet('02:fc:00:01:00:01', guest.mac, 0x0800, udp(guest.ip, DESTINATION, 5000, 5001));

  // Only the tables grow: more bridges do not lie on this packet's way.
  const observed = await observeNetwork({ uplinks: ['up0'] });
  const context = { clusterCidr: CLUSTER_CIDR, uplinks: ['up0'], base: 'present' } as const;
  const script = (count: number) =>
    renderNftScript([
      {
        kind: 'tables.load',
        was: 'damaged',
        elements: spellOut(wish(count), observed, context).elements,
        profiles: [],
      },
    ]);

  /** Microseconds per packet. */
  function run(): number {
    guest.sendFrame(frame);
    settle(peers);
    let spent = 0;
    let arrived = 0;
    for (let sent = 0; sent < PACKETS; sent += BURST) {
      const start = performance.now();
      for (let i = 0; i < BURST; i += 1) guest.sendFrame(frame);
      spent += performance.now() - start;
      uplink.forget();
      settle(peers);
      arrived += uplink.received.filter(({ ip }) => ip?.dst === DESTINATION).length;
    }
    if (arrived !== PACKETS) throw new Error(`${PACKETS - arrived} packets were lost`);
    return (spent * 1000) / PACKETS;
  }

  const isolate = ['pref', '91', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'blackhole'];
  const local = ['pref', '90', 'iif', 'lo', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'lookup', 'main'];
  sh('ip', 'rule', 'delete', 'pref', '90');
  sh('ip', 'rule', 'delete', 'pref', '91');
  for (let round = 0; round < ROUNDS; round += 1) {
    nft(`flush ruleset\n${PLAIN}`);
    measured.plain.push(run());
    sh('ip', 'rule', 'add', ...local);
    sh('ip', 'rule', 'add', ...isolate);
    nft(`delete table ip plain\n${script(1)}`);
    measured.one.push(run());
    nft(script(tenants));
    measured.many.push(run());
    sh('ip', 'rule', 'delete', 'pref', '90');
    sh('ip', 'rule', 'delete', 'pref', '91');
  }
  for (const peer of peers) peer.tap.close();
  namespace.close();
  const figure = (name: string, values: readonly number[]) => ({ name, value: median(values), unit: 'µs' });
  return [
    figure('one packet, guest to uplink, plain masquerade only', measured.plain),
    figure('the same, 1 tenant', measured.one),
    figure(`the same, ${tenants} tenants`, measured.many),
    {
      name: `packet: ${tenants} tenants / plain`,
      value: median(measured.many) / median(measured.plain),
      unit: '×',
    },
    {
      name: `packet: ${tenants} tenants / 1 tenant`,
      value: median(measured.many) / median(measured.one),
      unit: '×',
    },
  ];
}
