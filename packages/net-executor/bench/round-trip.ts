import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createNetworkExecutor } from '../src/execute/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../test/support/desired.js';
import { sh } from '../test/support/host.js';
import { makeNamespace } from './namespaces.js';
import { compareRuleSets, type PacketFigure } from './rule-sets.js';

// Guest and internet are network stacks of the kernel in namespaces of their own; a veth pair stands for the guest's TAP.

const ROUND_TRIPS = 3000;
const ROUNDS = 11;
const SERVER_ADDRESS = '203.0.113.5';
const PEER = new URL('./udp-peer.mjs', import.meta.url).pathname;

function connectStacks(): void {
  sh('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns');
  sh('ip', 'link', 'delete', 'up0');
  sh('ip', 'netns', 'add', 'internet');
  sh('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'internet');
  sh('ip', 'address', 'add', '198.51.100.1/24', 'dev', 'up0');
  sh('ip', 'link', 'set', 'up0', 'up');
  sh('ip', 'route', 'add', 'default', 'via', '198.51.100.2');
  for (const address of ['198.51.100.2/24', `${SERVER_ADDRESS}/32`])
    sh('ip', '-n', 'internet', 'address', 'add', address, 'dev', 'eth0');
  sh('ip', '-n', 'internet', 'link', 'set', 'eth0', 'up');
}

function connectGuest(): void {
  const net = tenantNet(1);
  const { tapName, mac, ipv4 } = instancePort(net, 3);
  sh('ip', 'netns', 'add', 'guest');
  sh('ip', 'link', 'add', tapName, 'type', 'veth', 'peer', 'name', 'guest0', 'netns', 'guest');
  sh('ip', 'link', 'set', tapName, 'master', net.bridge_name, 'up');
  sh('ip', '-n', 'guest', 'link', 'set', 'guest0', 'address', mac, 'up');
  sh('ip', '-n', 'guest', 'address', 'add', `${ipv4}/24`, 'dev', 'guest0');
  sh('ip', '-n', 'guest', 'route', 'add', 'default', 'via', net.gateway_ip);
}

const inside = (name: string, ...command: string[]) => ['netns', 'exec', name, ...command];

async function startServer(): Promise<ChildProcess> {
  const server = spawn('ip', inside('internet', process.execPath, PEER, 'serve', SERVER_ADDRESS), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout, 'data');
  return server;
}

/** The median of round trips between two processes, in microseconds. */
function ask(): number {
  const args = inside('guest', process.execPath, PEER, 'ask', SERVER_ADDRESS, String(ROUND_TRIPS));
  return Number(execFileSync('ip', args, { encoding: 'utf8' }));
}

/** The mean of round trips that the internet's kernel answers, in whole microseconds; throws when an echo was lost. */
function flood(): number {
  const args = inside('guest', 'ping', '-f', '-q', '-c', String(ROUND_TRIPS), SERVER_ADDRESS);
  const text = execFileSync('ip', args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  const mean = /rtt min\/avg\/max\/mdev = [\d.]+\/([\d.]+)\//.exec(text)?.[1];
  if (!text.includes(` ${ROUND_TRIPS} received`) || mean === undefined) throw new Error(`lost: ${text}`);
  return Number(mean) * 1000;
}

/**
 * The round trip from a guest to the internet in one flow, the next when the last has come back: over UDP between two
 * processes, which wait for each other, and the bare way there and back, an echo that no process answers.
 */
export async function measureRoundTrip(tenants: number): Promise<PacketFigure[]> {
  const namespace = makeNamespace();
  connectStacks();
  const server = await startServer();
  const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
  await executor.reconcile({ tenants: [{ net: tenantNet(1), ports: [] }] });
  connectGuest();
  const what = 'guest to internet';
  const options = { tenants, rounds: ROUNDS };
  const figures = [
    ...(await compareRuleSets(`UDP round trip, ${what}`, { ...options, maxRatio: 1.1 }, ask)),
    ...(await compareRuleSets(`echo by the kernel, ${what}`, options, flood)),
  ];
  server.kill('SIGKILL');
  sh('ip', 'netns', 'delete', 'guest');
  sh('ip', 'netns', 'delete', 'internet');
  sh('umount', '/run/netns');
  namespace.close();
  return figures;
}
