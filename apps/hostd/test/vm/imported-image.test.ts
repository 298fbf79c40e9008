import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { changeSecrets, secretsPath } from '@mvm/secrets-store';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { busyboxLayer, consoleSays, consoleText, createImportHost, importOwn } from './imported-host.js';

// OCI images, made here from nothing, run as they say in guests that bring nothing else.

let host: Host;
let client: HostdClient;
let count = 0;

beforeAll(async () => {
  host = await createImportHost();
  const keysDir = join(host.dir, 'keys');
  await mkdir(keysDir, { mode: 0o700 });
  await writeFile(join(keysDir, 'acme.key'), '5a'.repeat(32), { mode: 0o600 });
  // hostd puts secrets into memory only.
  await mkdir(host.runDir, { mode: 0o755 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'run', host.runDir]);
  await host.start({ args: ['--tenant-keys-dir', keysDir] });
  client = host.client();
}, 240_000);
afterAll(async () => {
  execFileSync('umount', ['--lazy', host.runDir]);
  await host.dispose();
});

/** An instance of the image, started. */
async function run(
  image: string,
  over: { data_disk_mib?: number; secret_scopes?: string[] } = {},
): Promise<InstanceAddress> {
  count += 1;
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: `i-import-${count}` };
  await ensureTenantAndPool(client, 'acme', 3, {
    spec: {
      flake_ref: image,
      instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: over.data_disk_mib ?? 0 },
      secret_scopes: over.secret_scopes ?? [],
    },
  });
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  return address;
}

const info = (address: InstanceAddress) => client.request({ type: 'DescribeInstance', ...address });
const stop = (address: InstanceAddress) =>
  client.request(
    { type: 'StopInstance', ...address, force: false, shutdown_timeout_secs: 60 },
    { timeoutMs: 90_000 },
  );
const destroy = (address: InstanceAddress) =>
  client.request({ type: 'DestroyInstance', ...address, wipe_volumes: true });

test('the command runs as the image says, and ends by the image’s signal', async () => {
  const script = [
    'trap "echo got the signal; exit 7" USR1',
    'echo "who=$(id -u):$(id -g):$(id -G) in=$PWD foo=$FOO home=$HOME host=$HOSTNAME=$(hostname)"',
    'echo "address $(ip -o -4 addr show eth0 | sed "s/.*inet //;s/ .*//") $(ip route | head -n 1)"',
    'echo "hosts $(tr "\\n\\t" "  " </etc/hosts)"',
    'echo "init $(sed -n "s/VmRSS:[^0-9]*//p" /proc/1/status)"',
    'echo "root $(stat -c %a:%u:%g:%Y /) writable=$(touch /tmp/x && echo yes)"',
    'echo "out" >/dev/stdout; echo "err" >/dev/stderr',
    'while :; do sleep 0.1; done',
  ].join('\n');
  await importOwn(host, 'app', {
    layers: [
      busyboxLayer(),
      [
        { name: './', type: 'directory', mode: 0o751, uid: 5, gid: 6, mtime: '4102444800' },
        { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\n' },
        { name: 'etc/group', data: 'root:x:0:\napp:x:2345:\nextra:x:3456:app\n' },
        { name: 'tmp/', type: 'directory', mode: 0o1777 },
        { name: 'start', data: `#!/bin/sh\n${script}\n`, mode: 0o755 },
      ],
    ],
    config: {
      Entrypoint: ['/bin/sh'],
      Cmd: ['/start'],
      Env: ['FOO=bar=baz'],
      User: 'app',
      WorkingDir: '/srv/work',
      StopSignal: 'SIGUSR1',
    },
  });
  const address = await run('app');
  const text = await consoleSays(client, address, /^err$/m);
  expect(text).toContain(
    `who=1234:2345:2345 3456 in=/srv/work foo=bar=baz home=/home/app host=${address.instance_id}=${address.instance_id}\n`,
  );
  expect(text).toMatch(/address (10\.240\.3\.\d+)\/24 default via 10\.240\.3\.1 dev eth0/);
  expect(text).toMatch(new RegExp(`hosts 127.0.0.1 localhost .*10\\.240\\.3\\.\\d+ ${address.instance_id}`));
  expect(text).toContain('root 751:5:6:4102444800 writable=yes\nout\nerr\n');
  expect(Number(/init (\d+) kB/.exec(text)?.[1])).toBeLessThan(2048);
  await consoleSays(client, address, /mvm-guest ready tenant=acme pool=workers .*gateway_ping=ok boot_id=/);
  await stop(address);
  expect(await info(address)).toMatchObject({ status: 'stopped', stop_reason: { kind: 'requested' } });
  expect(await consoleText(client, address)).toMatch(
    /mvm-guest powering off\n(.*\n)*got the signal\nmvm-guest exited code=7\n/,
  );
  const audit = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  expect(audit).toContain('"shutdown":"shut_down"');
  await destroy(address);
});

test.each([
  ['its code', ['/bin/sh', '-c', 'exit 3'], 'mvm-guest exited code=3'],
  ['a signal', ['/bin/sh', '-c', 'kill -9 $$'], 'mvm-guest exited signal=9 code=137'],
  ['a program that is not there', ['/bin/nothing'], 'mvm-guest exited code=127'],
  ['a program that cannot run', ['/etc'], 'mvm-guest exited code=126'],
])('a guest whose command has ended powers off and says how: %s', async (what, command, wanted) => {
  const name = what.replaceAll(' ', '-');
  await importOwn(host, name, {
    layers: [[...busyboxLayer(), { name: 'etc/', type: 'directory' }]],
    config: { Cmd: command },
  });
  const address = await run(name);
  const ended = await until('stopped', async () => {
    const found = await info(address);
    return found.status === 'stopped' ? found : null;
  });
  expect(ended.stop_reason?.kind).not.toBe('requested');
  expect(await consoleText(client, address)).toContain(`${wanted}\n`);
  await destroy(address);
});

test('an image of one static program and nothing else runs', async () => {
  const [, busybox] = busyboxLayer();
  await importOwn(host, 'scratch', {
    layers: [[{ ...busybox, name: 'busybox' }]],
    config: {
      Entrypoint: [
        '/busybox',
        'sh',
        '-c',
        'echo "only $(/busybox ls / | /busybox tr "\\n" " ")"; exec /busybox httpd -f -p 80',
      ],
    },
  });
  const address = await run('scratch');
  const text = await consoleSays(client, address, /^only .*$/m);
  expect(text).toContain('only busybox dev etc proc run sys \n');
  await stop(address);
  expect(await consoleText(client, address)).toContain('mvm-guest exited signal=15 code=143\n');
  await destroy(address);
});

test('an init system of the image is process 1, and the agent serves beside it', async () => {
  await importOwn(host, 'with-init', {
    layers: [
      [
        ...busyboxLayer(),
        { name: 'sbin/init', type: 'symlink', linkName: '../bin/busybox' },
        {
          name: 'etc/inittab',
          data: '::sysinit:/bin/sh -c "echo process 1 is $(cat /proc/1/cmdline)"\n::respawn:/bin/sh -c "echo service; exec sleep 1000"\n::shutdown:/bin/echo init shuts down\n',
        },
      ],
    ],
    config: { Entrypoint: ['/sbin/init'], StopSignal: 'SIGUSR2' },
  });
  const address = await run('with-init');
  await consoleSays(client, address, /mvm-guest ready /);
  expect(await consoleSays(client, address, /^service$/m)).toMatch(/^process 1 is .*init$/m);
  await client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 60_000 });
  await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
  await consoleSays(client, address, /mvm-guest awake time=\d+/);
  await stop(address);
  expect(await consoleText(client, address)).toContain('init shuts down\n');
  await destroy(address);
});

test('volumes keep their content, secrets reach the user, and both come back after sleep and restart', async () => {
  await changeSecrets(secretsPath(host.stateDir, 'acme'), (secrets) => secrets.set('token', 'hunter2'));
  const script = [
    'echo "volume $(cat /var/lib/app/first) $(cat /var/lib/app/count 2>/dev/null) $(stat -c %u:%a /var/lib/app)"',
    'echo x$(cat /var/lib/app/count 2>/dev/null) >/var/lib/app/count',
    'echo "secret $(cat /run/secrets/token) $(stat -c %u:%a /run/secrets)"',
    'n=0; while sleep 0.5; do n=$((n+1)); echo "alive $n"; done',
  ].join('\n');
  await importOwn(host, 'stateful', {
    layers: [
      busyboxLayer(),
      [
        { name: 'var/lib/app/', type: 'directory', uid: 77, mode: 0o750 },
        { name: 'var/lib/app/first', data: 'from-the-image', uid: 77 },
        { name: 'start', data: script },
      ],
    ],
    config: { Cmd: ['/bin/sh', '/start'], User: '77', Volumes: { '/var/lib/app/': {} } },
  });
  const address = await run('stateful', { data_disk_mib: 32, secret_scopes: ['token'] });
  await consoleSays(client, address, /^alive 2$/m);
  expect(await consoleText(client, address)).toContain(
    'volume from-the-image  77:750\nsecret hunter2 77:700\n',
  );
  await client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 60_000 });
  expect((await info(address)).status).toBe('sleeping');
  await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
  const awake = await consoleSays(client, address, /mvm-guest awake time=\d+\n(.*\n)*alive \d+/);
  expect(awake.match(/mvm-guest ready/g)).toHaveLength(1);
  await stop(address);
  const end = (await consoleText(client, address)).length;
  await client.request({ type: 'StartInstance', ...address });
  await consoleSays(client, address, 'volume from-the-image x 77:750\n', end);
  await stop(address);
  await destroy(address);
});
