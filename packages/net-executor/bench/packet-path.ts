import { createNetworkExecutor } from '../src/execute/index.js';
import { CLUSTER_CIDR } from '../test/support/desired.js';
import { ethernet, udp } from '../test/support/frames.js';
import { waitForCarrier } from '../test/support/host.js';
import { createRawPeer, resolve, settle } from '../test/support/raw-peer.js';
import { openTap } from '../test/support/tap-device.js';
import { plugIn } from '../test/support/topology.js';
import { makeNamespace } from './namespaces.js';
import { compareRuleSets, desired, type PacketFigure } from './rule-sets.js';

const PACKETS = 4_000;
const BURST = 200;
const ROUNDS = 9;
const DESTINATION = '203.0.113.5';

/**
 * The time of one packet from a guest's TAP through guard, routing, filter and NAT to the uplink's TAP, with no rules but a
 * plain masquerade, with one tenant, and with `tenants`. Every packet is received, else it throws.
 */
export async function measurePacketPath(tenants: number): Promise<PacketFigure[]> {
  const namespace = makeNamespace();
  const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
  await executor.reconcile(desired(1));
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

  const figures = await compareRuleSets('one packet, guest to uplink', { tenants, rounds: ROUNDS }, run);
  for (const peer of peers) peer.tap.close();
  namespace.close();
  return figures;
}
