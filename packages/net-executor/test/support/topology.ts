import type { PoolNetworkPolicy } from '@mvm/protocol';
import type { NetworkExecutor } from '../../src/execute/index.js';
import type { DesiredHostNetwork } from '../../src/index.js';
import { instancePort, tenantNet } from './desired.js';
import { sh, waitForCarrier } from './host.js';
import { createRawPeer, type RawPeer, settle } from './raw-peer.js';
import { openTap } from './tap-device.js';

/** Two guests of one tenant, one each of two others, the internet behind an uplink, and a container network. */
export interface Topology {
  readonly a1: RawPeer;
  readonly a2: RawPeer;
  readonly b1: RawPeer;
  /** Of a tenant without egress. */
  readonly c1: RawPeer;
  /** 198.51.100.2, the default gateway, which stands for every address outside; TCP port 80 is open everywhere. */
  readonly internet: RawPeer;
  /** 172.17.0.2 on docker0; TCP ports 80 and 8080 are open. */
  readonly container: RawPeer;
  readonly peers: readonly RawPeer[];
  /** What the tenants' ports were made from. */
  readonly desired: DesiredHostNetwork;
  close(): void;
}

export const HOST_MAC = '02:00:00:00:00:01';
export const UPLINK_ADDRESS = '198.51.100.1';
export const CONTAINER_ADDRESS = '172.17.0.2';
/** A public address on the internet peer. */
export const PUBLIC_ADDRESS = '203.0.113.5';
export const TENANT_A = tenantNet(1);
export const TENANT_B = tenantNet(2);
const TENANT_C = tenantNet(3);
/** Port 8443 of the host is port 80 of tenant B's guest. */
const PUBLISHED: PoolNetworkPolicy['publish'] = [{ protocol: 'tcp', host_port: 8443, guest_port: 80 }];

/** A device on which the kernel says nothing by itself: no router solicitations and no group reports. */
function silence(device: string): void {
  sh('sysctl', '-qw', `net.ipv6.conf.${device}.addr_gen_mode=1`);
}

/** The uplink and the container network, before any tenant. `switchAll`: the host forwards everywhere, as with docker. */
export function buildOutside(switchAll: boolean): Pick<Topology, 'internet' | 'container'> {
  const uplink = openTap('up0');
  silence('up0');
  sh('ip', 'link', 'set', 'up0', 'address', HOST_MAC);
  sh('ip', 'address', 'add', `${UPLINK_ADDRESS}/24`, 'dev', 'up0');
  sh('ip', 'link', 'set', 'up0', 'up');
  sh('ip', 'route', 'add', 'default', 'via', '198.51.100.2');
  sh('ip', 'link', 'add', 'docker0', 'address', '02:42:ac:11:00:01', 'type', 'bridge', 'forward_delay', '0');
  sh('ip', 'address', 'add', '172.17.0.1/16', 'dev', 'docker0');
  silence('docker0');
  const veth = openTap('veth0');
  silence('veth0');
  sh('ip', 'link', 'set', 'veth0', 'master', 'docker0', 'up');
  sh('ip', 'link', 'set', 'docker0', 'up');
  if (switchAll) sh('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  const internet = createRawPeer({
    tap: uplink,
    mac: '02:00:00:00:00:fe',
    ip: '198.51.100.2',
    addresses: 'any',
    openPorts: [80],
  });
  const container = createRawPeer({
    tap: veth,
    mac: '02:42:ac:11:00:02',
    ip: CONTAINER_ADDRESS,
    openPorts: [80, 8080],
  });
  return { internet, container };
}

/** Plugs a guest into its TAP, as a VMM would. */
export function plugIn(netId: number, offset: number): RawPeer {
  const port = instancePort(tenantNet(netId), offset);
  return createRawPeer({ tap: openTap(port.tapName), mac: port.mac, ip: port.ipv4, openPorts: [80] });
}

/** The tenants' ports by the executor, and a guest behind each. */
export async function buildTopology(executor: NetworkExecutor, switchAll: boolean): Promise<Topology> {
  const outside = buildOutside(switchAll);
  const desired: DesiredHostNetwork = {
    tenants: [
      { net: TENANT_A, ports: [instancePort(TENANT_A, 3), instancePort(TENANT_A, 4)] },
      {
        net: TENANT_B,
        ports: [instancePort(TENANT_B, 3, 'web')],
        policies: { pools: { web: { publish: PUBLISHED } } },
      },
      { net: TENANT_C, ports: [instancePort(TENANT_C, 3)], policies: { tenant: { egress: 'none' } } },
    ],
  };
  await executor.reconcile(desired);
  const guests = { a1: plugIn(1, 3), a2: plugIn(1, 4), b1: plugIn(2, 3), c1: plugIn(3, 3) };
  const peers = [...Object.values(guests), outside.internet, outside.container];
  const bridges = desired.tenants.map(({ net }) => net.bridge_name);
  await waitForCarrier([...peers.map(({ tap }) => tap.name), ...bridges, 'docker0']);
  settle(peers);
  return {
    ...guests,
    ...outside,
    peers,
    desired,
    close() {
      for (const peer of peers) peer.tap.close();
    },
  };
}
