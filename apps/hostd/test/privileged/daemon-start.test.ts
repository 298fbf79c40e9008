import { spawn } from 'node:child_process';
import { chmod, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { callVersionOne, startDaemon, testUidBase } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { netOf } from '../tenants.js';
import { createDatagramSocket, createListeningSocket } from '../unix-socket.js';

const program = fileURLToPath(new URL('../../bin/mvm-hostd.js', import.meta.url));
let host: Host;

beforeEach(async () => {
  host = await createHost();
});
afterEach(() => host.dispose());

/** A version 1 Ping by another user, with plain Node.js: prints the answer. */
function pingAs(uid: number, gid: number): Promise<string> {
  const script = `
    const s = require('node:net').connect({ path: process.argv[1], allowHalfOpen: true });
    s.on('connect', () => s.end(Buffer.from([0, 0, 0, 6, ...Buffer.from('"Ping"')])));
    const c = []; s.on('data', (d) => c.push(d));
    s.on('end', () => console.log(Buffer.concat(c).subarray(4).toString()));
    s.on('error', (e) => console.log(e.code));`;
  const ids = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups'];
  return execa('setpriv', [...ids, process.execPath, '-e', script, host.socketPath]).then(
    ({ stdout }) => stdout,
  );
}

test('hostd serves, and ends as usual, while its log has no space', async () => {
  const full = await open('/dev/full', 'w');
  try {
    const daemon = await host.start({ logFd: full.fd });
    expect(await host.client().request({ type: 'Ping' })).toEqual({ type: 'Pong' });
    expect(await daemon.stop()).toBe('status 0');
  } finally {
    await full.close();
  }
});

test('a user who is neither allowed nor in the group is told so, whatever the socket’s mode', async () => {
  await host.start({ args: ['--allow-uid', '64001'] });
  expect((await stat(host.socketPath)).mode & 0o777).toBe(0o660);
  expect(await pingAs(64_002, 64_002)).toBe('EACCES');
  await chmod(host.socketPath, 0o666);
  expect(JSON.parse(await pingAs(64_002, 64_002))).toMatchObject({
    Error: { code: 'permission_denied', reason: 'peer.not_allowed' },
  });
  expect(await pingAs(64_001, 64_001)).toBe('"Pong"');
  expect(await pingAs(0, 0)).toBe('"Pong"');
});

test('a second hostd on the same state is refused, naming the first', async () => {
  const first = await host.start();
  const second = await execa(process.execPath, [program, 'serve', ...host.args], { reject: false });
  expect(second.exitCode).toBe(4);
  expect(second.stderr).toContain(`another mvm-hostd (pid ${first.pid})`);
  expect(await host.v1('"Ping"')).toBe('Pong');
});

test('a second hostd with a state of its own is refused where the first has set up networks', async () => {
  const first = await host.start();
  const client = host.client();
  await client.request({ type: 'SetupNetwork', tenant_id: 'acme', net: netOf(5) });
  const other = ['--state-dir', join(host.dir, 's2'), '--run-dir', join(host.dir, 'r2')];
  const socket = ['--socket', join(host.dir, 'r2/hostd.sock'), '--cgroup-parent', `${host.cgroupParent}-2`];
  const serve = ['serve', '--group', 'mvmh-none', ...other, ...socket];
  const second = await execa(process.execPath, [program, ...serve], { reject: false, timeout: 20_000 });
  expect(second.stderr).toContain('net.locked');
  expect(second.exitCode).toBe(4);
  expect((await execa('ip', ['-br', 'link'])).stdout).toContain('br-tenant-5');
  const beside = await startDaemon({
    daemon: 'hostd',
    args: [...serve.slice(1), '--vm-uid-base', '90000000'],
    socketPath: join(host.dir, 'r2/hostd.sock'),
    prefix: ['unshare', '--net'],
  });
  expect(await beside.stop()).toBe('status 0');
  expect((await execa('ip', ['-br', 'link'])).stdout).toContain('br-tenant-5');
  await first.kill();
  await host.start();
});

test('a second hostd is refused the cgroups of the first, in whatever network it is; once that is gone, it has them', async () => {
  const first = await host.start();
  const socketPath = join(host.dir, 'r3/hostd.sock');
  const args = [
    ...['--group', 'mvmh-none', '--socket', socketPath, '--cgroup-parent', host.cgroupParent],
    ...['--state-dir', join(host.dir, 's3'), '--run-dir', join(host.dir, 'r3')],
  ];
  const serve = ['--net', process.execPath, program, 'serve', ...args];
  const second = await execa('unshare', serve, { reject: false, timeout: 20_000 });
  expect(second.stderr).toContain('cgroup.locked');
  expect(second.exitCode).toBe(4);
  await first.kill();
  const after = await startDaemon({ daemon: 'hostd', args, socketPath, prefix: ['unshare', '--net'] });
  expect(await after.stop()).toBe('status 0');
  await host.start();
});

test.each([0, 1_048_575, -1_048_575])(
  'finding 15: a second hostd is refused user ids of the first, in whatever network: %i away',
  async (away) => {
    const first = await host.start();
    const base = testUidBase();
    const beside = (uidBase: number): string[] => [
      ...['--group', 'mvmh-none', '--socket', join(host.dir, 'r4/hostd.sock')],
      ...['--cgroup-parent', `${host.cgroupParent}-4`, '--vm-uid-base', String(uidBase)],
      ...['--state-dir', join(host.dir, 's4'), '--run-dir', join(host.dir, 'r4')],
    ];
    const serve = ['--net', process.execPath, program, 'serve', ...beside(base + away)];
    const second = await execa('unshare', serve, { reject: false, timeout: 20_000 });
    expect(second.stderr).toContain('uids.locked');
    expect(second.exitCode).toBe(4);
    expect(await host.v1('"Ping"')).toBe('Pong');
    await first.stop();
  },
);

test('after SIGKILL it starts again on the same state and socket', async () => {
  const first = await host.start();
  const client = host.client();
  const net = {
    tenant_net_id: 5,
    ipv4_subnet: '10.240.5.0/24',
    gateway_ip: '10.240.5.1',
    bridge_name: 'br-tenant-5',
  };
  await client.request({ type: 'SetupNetwork', tenant_id: 'acme', net });
  await first.kill();
  await host.start();
  const { tenants } = await client.request({ type: 'ListTenants' });
  expect(tenants).toMatchObject([{ tenant_id: 'acme', net, network_up: true }]);
});

test('SIGTERM ends it with status 0, and its socket is gone', async () => {
  const daemon = await host.start();
  expect(await daemon.stop()).toBe('status 0');
  await expect(stat(host.socketPath)).rejects.toThrow('ENOENT');
});

test('state is root’s alone', async () => {
  await host.start();
  const client = host.client();
  const net = {
    tenant_net_id: 6,
    ipv4_subnet: '10.240.6.0/24',
    gateway_ip: '10.240.6.1',
    bridge_name: 'br-tenant-6',
  };
  await client.request({ type: 'SetupNetwork', tenant_id: 'acme', net });
  for (const [path, mode] of [
    [host.stateDir, 0o700],
    [join(host.stateDir, 'tenants/acme'), 0o700],
    [join(host.stateDir, 'tenants/acme/tenant.json'), 0o600],
    [join(host.stateDir, 'tenants/acme/audit.log'), 0o600],
  ] as const) {
    expect((await stat(path)).mode & 0o777, path).toBe(mode);
  }
});

test('a socket from the service manager is served, and left alone at the end', async () => {
  const path = join(host.dir, 'activation.sock');
  const socket = createListeningSocket(path);
  // The shell becomes the daemon, so that LISTEN_PID is right.
  const command = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"';
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, program, 'serve', ...host.args], {
    stdio: ['ignore', 'ignore', 'ignore', socket.fd],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    expect(await callVersionOne(path, '"Ping"')).toBe('Pong');
    await expect(stat(host.socketPath)).rejects.toThrow('ENOENT');
  } finally {
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    socket.close();
  }
  expect((await stat(path)).isSocket()).toBe(true);
});

test('the service manager is told when it serves and when it stops', async () => {
  const path = join(host.dir, 'notify.sock');
  const socket = createDatagramSocket(path);
  try {
    const daemon = await host.start({ env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' } });
    expect(await socket.receive()).toBe(`READY=1\nMAINPID=${daemon.pid}`);
    expect(await socket.receive()).toBe('WATCHDOG=1');
    await daemon.stop();
    let message = await socket.receive();
    while (message === 'WATCHDOG=1') message = await socket.receive();
    expect(message).toBe('STOPPING=1');
  } finally {
    socket.close();
  }
});

test('check-config shows every value and its source', async () => {
  const file = join(host.dir, 'hostd.toml');
  await writeFile(file, 'log_level = "warn"\n');
  const { stdout } = await execa(
    process.execPath,
    [program, 'check-config', '--config', file, '--vmm', 'qemu'],
    {
      env: { MVM_HOSTD_GROUP: 'kvm' },
    },
  );
  expect(stdout).toContain('log_level = "warn"  # file');
  expect(stdout).toContain('vmm = "qemu"  # flag');
  expect(stdout).toContain('group = "kvm"  # environment');
  expect(stdout).toContain('cluster_cidr = "10.240.0.0/12"  # default');
});

test.each([
  [['serve', '--vmm', 'xen'], 2, '--vmm'],
  [['serve', '--config', '/nonexistent.toml'], 2, '/nonexistent.toml'],
  [['serve', '--sockett', '/x'], 2, '--socket'],
  [['fly'], 2, 'unknown command'],
])('%j ends with a reason and status %i', async (args, exitCode, text) => {
  const result = await execa(process.execPath, [program, ...args], { reject: false });
  expect(result.exitCode).toBe(exitCode);
  expect(result.stderr).toContain(text);
});

test('--help teaches, --version tells', async () => {
  const help = await execa(process.execPath, [program, '--help']);
  expect(help.stdout).toContain('sudo mvm-hostd serve');
  const version = await execa(process.execPath, [program, '--version']);
  const { version: expected } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  expect(version.stdout).toBe(expected);
});

test('without root it refuses to start', async () => {
  const ids = ['--reuid', '64003', '--regid', '64003', '--clear-groups'];
  const result = await execa('setpriv', [...ids, process.execPath, program, 'serve', ...host.args], {
    reject: false,
  });
  expect(result.exitCode).toBe(5);
  expect(result.stderr).toContain('needs root');
});
