import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../support/desired.js';
import { enterTestHost, sh } from '../support/host.js';
import { openTap, type TapDevice } from '../support/tap-device.js';

// Guest and internet are network stacks of the kernel in namespaces of their own; only the guest's virtio card is
// missing, in whose place this test carries frames between its TAP and a TAP inside the guest's namespace.

const net = tenantNet(3);
const port = instancePort(net, 5);
const SERVER = `
  require('node:net').createServer((s) => { s.end(s.remoteAddress); }).listen(80, () => console.log('ready'));
`;
const CLIENT = `
  const s = require('node:net').connect(80, process.argv[1], () => {});
  s.setTimeout(1500, () => { console.log('timeout'); process.exit(); });
  s.on('data', (d) => console.log(String(d))).on('error', (e) => console.log(e.code)).on('close', () => process.exit());
`;

let executor: NetworkExecutor;
let server: ReturnType<typeof spawn>;
let carrying = true;
let host: TapDevice;
let inner: TapDevice;

function carry(): void {
  if (!carrying) return;
  for (const frame of host.drain()) inner.send(frame);
  for (const frame of inner.drain()) host.send(frame);
  setImmediate(carry);
}

async function fromGuest(address: string): Promise<string> {
  const client = spawn('ip', ['netns', 'exec', 'guest', process.execPath, '-e', CLIENT, address]);
  const [line] = await once(createInterface(client.stdout), 'line');
  return String(line);
}

beforeAll(async () => {
  enterTestHost();
  sh('ip', 'netns', 'add', 'internet');
  sh('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'internet');
  sh('ip', 'address', 'add', '198.51.100.1/24', 'dev', 'up0');
  sh('ip', 'link', 'set', 'up0', 'up');
  sh('ip', 'route', 'add', 'default', 'via', '198.51.100.2');
  for (const address of ['198.51.100.2/24', '203.0.113.5/32', '10.99.0.1/32', '169.254.169.254/32']) {
    sh('ip', '-n', 'internet', 'address', 'add', address, 'dev', 'eth0');
  }
  sh('ip', '-n', 'internet', 'link', 'set', 'eth0', 'up');
  server = spawn('ip', ['netns', 'exec', 'internet', process.execPath, '-e', SERVER]);
  if (server.stdout === null) throw new Error('no output');
  await once(server.stdout, 'data');

  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
  await executor.reconcile({ tenants: [] });
  await executor.ensureTenant(net);
  await executor.attachPort(net, port);

  sh('ip', 'netns', 'add', 'guest');
  host = openTap(port.tapName);
  inner = openTap('guest0');
  sh('ip', 'link', 'set', 'guest0', 'address', port.mac, 'netns', 'guest');
  sh('ip', '-n', 'guest', 'address', 'add', `${port.ipv4}/24`, 'dev', 'guest0');
  sh('ip', '-n', 'guest', 'link', 'set', 'guest0', 'up');
  sh('ip', '-n', 'guest', 'route', 'add', 'default', 'via', net.gateway_ip);
  carry();
});

afterAll(async () => {
  carrying = false;
  server.kill('SIGKILL');
  host.close();
  inner.close();
  await executor.removeAll();
  sh('ip', 'netns', 'delete', 'guest');
  sh('ip', 'netns', 'delete', 'internet');
});

describe('a guest with a whole network stack', () => {
  it("speaks TCP with the internet under the host's address, on a host that does not forward otherwise", async () => {
    expect(sh('cat', '/proc/sys/net/ipv4/ip_forward').trim()).toBe('0');
    expect(await fromGuest('203.0.113.5')).toBe('::ffff:198.51.100.1');
  });

  it('does not reach a private address or the metadata address out there', async () => {
    expect(await fromGuest('10.99.0.1')).toBe('timeout');
    expect(await fromGuest('169.254.169.254')).toBe('timeout');
  });
});
