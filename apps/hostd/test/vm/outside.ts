import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** The host's address on its uplink. */
export const UPLINK_ADDRESS = '198.51.100.1';
/** A public address of the internet. */
export const PUBLIC_ADDRESS = '203.0.113.5';
export const CONTAINER_ADDRESS = '172.17.0.2';
/** Addresses that no guest may reach although the internet, behind the uplink, has them. */
export const PRIVATE_ADDRESSES = [
  '10.99.0.1',
  '172.20.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '198.18.0.1',
] as const;
export const METADATA_ADDRESS = '169.254.169.254';
/** TCP port on which host, internet and container tell whom they see. */
export const SERVICE_PORT = 8022;

/** The world around a test's host: an uplink to an internet, and a network of containers. */
export interface Outside {
  /** Runs a program of busybox out there; whether it succeeded. */
  from(place: 'internet' | 'container', ...args: string[]): boolean;
  close(): void;
}

const SERVER = `
  require('node:net').createServer((s) => { s.on('error', () => {}); s.end(s.remoteAddress + '\\n'); })
    .listen(${SERVICE_PORT}, '0.0.0.0', () => console.log('ready'));
`;

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/**
 * Builds it in the network namespace of the caller, which must be a test's own: internet and containers are network
 * stacks behind veth pairs, and route everything back to the host. The host itself has the service too, on each address.
 */
export async function buildOutside(): Promise<Outside> {
  const places = [
    { name: 'internet', device: 'up0', host: `${UPLINK_ADDRESS}/24`, mac: '02:00:00:00:00:01' },
    { name: 'container', device: 'docker0', host: '172.17.0.1/16', mac: '02:42:ac:11:00:01' },
  ];
  for (const { name, device, host, mac } of places) {
    ip('netns', 'add', name);
    ip('link', 'add', device, 'address', mac, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('address', 'add', host, 'dev', device);
    ip('link', 'set', device, 'up');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  for (const address of ['198.51.100.2/24', PUBLIC_ADDRESS, METADATA_ADDRESS, ...PRIVATE_ADDRESSES]) {
    ip('-n', 'internet', 'address', 'add', address, 'dev', 'eth0');
  }
  ip('-n', 'internet', 'route', 'add', '10.240.0.0/12', 'via', UPLINK_ADDRESS);
  ip('route', 'add', 'default', 'via', '198.51.100.2');
  ip('-n', 'container', 'address', 'add', `${CONTAINER_ADDRESS}/16`, 'dev', 'eth0');
  ip('-n', 'container', 'route', 'add', 'default', 'via', '172.17.0.1');
  // As docker does: its network is forwarded.
  execFileSync('sysctl', ['-qw', 'net.ipv4.conf.docker0.forwarding=1']);
  const inPlace = ['ip', 'netns', 'exec'];
  const servers = [[], [...inPlace, 'internet'], [...inPlace, 'container']].map((prefix) => {
    const [command = process.execPath, ...args] = [...prefix, process.execPath, '-e', SERVER];
    return spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  });
  for (const server of servers) await once(server.stdout, 'data');
  return {
    from: (place, ...args) => {
      try {
        execFileSync('ip', ['netns', 'exec', place, 'busybox', ...args], { stdio: 'ignore' });
        return true;
      } catch {
        return false;
      }
    },
    close: () => {
      for (const server of servers) server.kill();
      for (const { name, device } of places) {
        ip('link', 'del', device);
        ip('netns', 'del', name);
      }
    },
  };
}
