import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createNetworkExecutor } from '../src/execute/index.js';
import { type DesiredHostNetwork, renderNftScript, spellOut } from '../src/index.js';
import { observeNetwork } from '../src/observe/index.js';
import { nft, sh } from '../test/support/host.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../test/support/wish.js';
import { makeNamespace } from './namespaces.js';
import { median } from './statistics.js';

// Guest and internet are network stacks of the kernel in namespaces of their own; a veth pair stands for the guest's TAP.

const ROUND_TRIPS = 3000;
const ROUNDS = 11;
const SERVER_ADDRESS = '203.0.113.5';
const PLAIN = `
table ip plain {
  chain post {
    type nat hook postrouting priority 100; policy accept;
    oifname "up0" masquerade
  }
}
`;
/** A UDP echo. */
const SERVER = `
  use Socket; $| = 1;
  socket(S, PF_INET, SOCK_DGRAM, 17); bind(S, sockaddr_in(7000, inet_aton('${SERVER_ADDRESS}'))) or die $!;
  print "ready\\n"; while (1) { my $from = recv(S, my $text, 2000, 0); send(S, $text, 0, $from); }
`;
/** Prints the median of its round trips, in microseconds. */
const CLIENT = `
  use Socket; use Time::HiRes 'time'; alarm 60;
  socket(S, PF_INET, SOCK_DGRAM, 17); connect(S, sockaddr_in(7000, inet_aton('${SERVER_ADDRESS}'))) or die $!;
  my @t;
  for (1..${ROUND_TRIPS}) { my $t = time; send(S, 'x' x 64, 0); recv(S, my $text, 2000, 0); push @t, time - $t; }
  @t = sort { $a <=> $b } @t; printf "%.3f", $t[@t / 2] * 1e6;
`;

interface RoundTripFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly max: number };
}

function wish(count: number): DesiredHostNetwork {
  const tenants = Array.from({ length: count }, (_, i) => ({
    net: tenantNet(i + 1),
    ports: [instancePort(tenantNet(i + 1), 3)],
  }));
  return { tenants };
}

async function connectStacks(): Promise<ChildProcess> {
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
  const server = spawn('ip', ['netns', 'exec', 'internet', 'perl', '-e', SERVER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(server.stdout, 'data');
  return server;
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

/**
 * The time from a guest's `send` to its `recv` of the answer from the internet, over UDP, in one flow: with no rules but a
 * plain masquerade, with one tenant, and with `tenants`, in turns.
 */
export async function measureRoundTrip(tenants: number): Promise<RoundTripFigure[]> {
  const namespace = makeNamespace();
  const server = await connectStacks();
  const executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
  await executor.reconcile({ tenants: [{ net: tenantNet(1), ports: [] }] });
  connectGuest();
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
  const run = () =>
    Number(execFileSync('ip', ['netns', 'exec', 'guest', 'perl', '-e', CLIENT], { encoding: 'utf8' }));
  const scripts = { one: script(1), many: script(tenants) };
  const isolate = ['pref', '91', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'blackhole'];
  const local = ['pref', '90', 'iif', 'lo', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR, 'lookup', 'main'];
  const measured: Record<'plain' | 'one' | 'many', number[]> = { plain: [], one: [], many: [] };
  nft(scripts.one);
  run();
  for (let round = 0; round < ROUNDS; round += 1) {
    sh('ip', 'rule', 'delete', 'pref', '90');
    sh('ip', 'rule', 'delete', 'pref', '91');
    nft(`flush ruleset\n${PLAIN}`);
    measured.plain.push(run());
    sh('ip', 'rule', 'add', ...local);
    sh('ip', 'rule', 'add', ...isolate);
    nft(`delete table ip plain\n${scripts.one}`);
    measured.one.push(run());
    nft(scripts.many);
    measured.many.push(run());
  }
  server.kill('SIGKILL');
  sh('ip', 'netns', 'delete', 'guest');
  sh('ip', 'netns', 'delete', 'internet');
  sh('umount', '/run/netns');
  namespace.close();
  const [plain, one, many] = [measured.plain, measured.one, measured.many].map(median);
  if (plain === undefined || one === undefined || many === undefined) throw new Error('nothing was measured');
  return [
    { name: 'UDP round trip, guest to internet, plain masquerade only', value: plain, unit: 'µs' },
    { name: 'the same, 1 tenant', value: one, unit: 'µs' },
    { name: `the same, ${tenants} tenants`, value: many, unit: 'µs' },
    { name: `round trip: ${tenants} tenants / plain`, value: many / plain, unit: '×', target: { max: 1.1 } },
    { name: `round trip: ${tenants} tenants / 1 tenant`, value: many / one, unit: '×' },
  ];
}
