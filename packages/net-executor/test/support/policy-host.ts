import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import type { TenantPolicies } from '../../src/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from './desired.js';
import { ethernet, TCP_ACK, TCP_SYN, tcp, udp } from './frames.js';
import { waitForCarrier } from './host.js';
import { connects, type RawPeer, resolve, settle } from './raw-peer.js';
import { buildOutside, PUBLIC_ADDRESS, plugIn } from './topology.js';

export const TENANT_A = tenantNet(1);
export const TENANT_B = tenantNet(2);
export const GATEWAY_A = '02:fc:00:01:00:01';
export const GATEWAY_B = '02:fc:00:02:00:01';

/** Tenant A with instances of the pools `web` (1, 2) and `db` (3), tenant B with one, the internet, and containers. */
export interface PolicyHost {
  readonly executor: NetworkExecutor;
  readonly web1: RawPeer;
  readonly web2: RawPeer;
  readonly db: RawPeer;
  readonly b1: RawPeer;
  readonly internet: RawPeer;
  readonly container: RawPeer;
  readonly peers: readonly RawPeer[];
  /** Gives tenant A these policies, and everybody a clean slate. */
  give(policies: TenantPolicies): Promise<void>;
  /** Whether an address answers a guest of tenant A over TCP; 80 is open everywhere outside. */
  reaches(from: RawPeer, address: string, port?: number): boolean;
  /** Sends packets through tenant A's gateway, letting others take them in before a queue (500 frames) overflows. */
  sendMany(from: RawPeer, packets: Iterable<Buffer>): void;
  /** A connection of a guest to the internet that stands; the function tells whether it still carries data. */
  connectionOf(from: RawPeer, address?: string): () => boolean;
  close(): Promise<void>;
}

/** A tenant with a policy on a host that does not forward otherwise; of this namespace, which must be the test's own. */
export async function buildPolicyHost(): Promise<PolicyHost> {
  const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  const outside = buildOutside(false);
  await executor.reconcile({
    tenants: [
      {
        net: TENANT_A,
        ports: [
          instancePort(TENANT_A, 3, 'web'),
          instancePort(TENANT_A, 4, 'web'),
          instancePort(TENANT_A, 5, 'db'),
        ],
      },
      { net: TENANT_B, ports: [instancePort(TENANT_B, 3, 'web')] },
    ],
  });
  const guests = { web1: plugIn(1, 3), web2: plugIn(1, 4), db: plugIn(1, 5), b1: plugIn(2, 3) };
  const peers = [...Object.values(guests), outside.internet, outside.container];
  await waitForCarrier([...peers.map(({ tap }) => tap.name), 'br-tenant-1', 'br-tenant-2', 'docker0']);
  settle(peers);
  for (const peer of [guests.web1, guests.web2, guests.db]) resolve(peer, TENANT_A.gateway_ip, peers);
  resolve(guests.b1, TENANT_B.gateway_ip, peers);
  const reaches: PolicyHost['reaches'] = (from, address, port = 80) =>
    connects(from, GATEWAY_A, address, port, peers) === 'open';
  // The host learns the default gateway's MAC.
  reaches(guests.web1, PUBLIC_ADDRESS);
  let nextPort = 30_000;
  return {
    executor,
    ...guests,
    ...outside,
    peers,
    async give(policies) {
      await executor.ensureTenant(TENANT_A, policies);
      settle(peers);
      for (const peer of peers) peer.forget();
    },
    reaches,
    sendMany(from, packets) {
      let count = 0;
      for (const packet of packets) {
        from.sendFrame(ethernet(GATEWAY_A, from.mac, 0x0800, packet));
        count += 1;
        if (count % 100 === 0) settle(peers);
      }
      settle(peers);
    },
    connectionOf(from, address = PUBLIC_ADDRESS) {
      nextPort += 1;
      const port = nextPort;
      const send = (flags: number): void => {
        outside.internet.forget();
        from.sendTo(GATEWAY_A, tcp(from.ip, address, port, 80, flags, 5002));
        settle(peers);
      };
      send(TCP_SYN);
      return () => {
        send(TCP_ACK);
        return outside.internet.received.some(({ ip }) => ip?.dst === address && ip.protocol === 6);
      };
    },
    async close() {
      for (const peer of peers) peer.tap.close();
      await executor.removeAll();
    },
  };
}

/** One UDP flow to the internet of `count` packets with `bytes` bytes of IP each. */
export function* stream(src: string, count: number, bytes: number, port = 9000): Generator<Buffer> {
  const text = 'x'.repeat(bytes - 28);
  for (let i = 0; i < count; i += 1) yield udp(src, PUBLIC_ADDRESS, port, 9001, text);
}

/** `count` UDP flows to the internet, of one packet each. */
export function* flows(src: string, count: number, firstPort: number): Generator<Buffer> {
  for (let i = 0; i < count; i += 1) yield udp(src, PUBLIC_ADDRESS, firstPort + i, 9001);
}
