import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createHostProbe } from '../../src/doctor/host-probe.js';
import { inNetworkOf } from '../../src/doctor/network-probe.js';

/** Stands for a hostd in a container: a process in a network namespace of its own. */
let other: ChildProcess;
let pid: number;
const inside = (...command: string[]) => execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...command]);
const here = createHostProbe(process.env);

beforeEach(async () => {
  other = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  pid = other.pid ?? 0;
  await new Promise((resolve) => other.stdout?.once('data', resolve));
  inside('ip', 'link', 'add', 'br-tenant-77', 'type', 'bridge');
  inside('ip', 'link', 'set', 'br-tenant-77', 'up');
  inside('ip', 'address', 'add', '10.240.77.1/24', 'dev', 'br-tenant-77');
  inside('nft', 'add', 'table', 'inet', 'of_hostd');
  inside('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/br-tenant-77/forwarding');
});
afterEach(async () => {
  const ended = new Promise((resolve) => other.once('exit', resolve));
  other.kill('SIGKILL');
  await ended;
});

it('sees the links, routes, switches and rules of the network that hostd is in', async () => {
  const probe = await inNetworkOf(here, { pid, network_namespace: readlinkSync(`/proc/${pid}/ns/net`) });
  if (probe === null) throw new Error('root can enter it');
  expect(await here.list('/sys/class/net')).not.toContain('br-tenant-77');
  expect(await probe.list('/sys/class/net')).toContain('br-tenant-77');
  expect(await here.readText('/proc/net/route')).not.toContain('br-tenant-77');
  expect(await probe.readText('/proc/net/route')).toContain('br-tenant-77');
  expect(await here.readText('/proc/sys/net/ipv4/conf/br-tenant-77/forwarding')).toBeUndefined();
  expect(await probe.readText('/proc/sys/net/ipv4/conf/br-tenant-77/forwarding')).toBe('1\n');
  expect((await here.read('nft', ['list', 'tables']))?.stdout).not.toContain('of_hostd');
  expect((await probe.read('nft', ['list', 'tables']))?.stdout).toContain('of_hostd');
  expect(await probe.run('mvm-no-such-program', [])).toEqual({ kind: 'missing' });
  expect(await probe.read('mvm-no-such-program', [])).toBeNull();
  // What does not depend on the network is read as before.
  expect(await probe.readText('/etc/hostname')).toBe(await here.readText('/etc/hostname'));
});

it('is the same probe where hostd is in the same network, or does not say', async () => {
  expect(await inNetworkOf(here, { pid: 1, network_namespace: readlinkSync('/proc/self/ns/net') })).toBe(
    here,
  );
  expect(await inNetworkOf(here, { pid: 1 })).toBe(here);
});

it('is none where hostd’s process is not to be found, or its network may not be entered', async () => {
  expect(await inNetworkOf(here, { pid, network_namespace: 'net:[1]' })).toBeNull();
  const namespace = readlinkSync(`/proc/${pid}/ns/net`);
  expect(await inNetworkOf({ ...here, uid: 1000 }, { pid, network_namespace: namespace })).toBeNull();
});
