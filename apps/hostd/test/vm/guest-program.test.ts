import type { HostdClient } from '@mvm/hostd-client';
import type { GuestProgram, StopReason } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { busyboxLayer, consoleSays, consoleText, createImportHost, importOwn } from './imported-host.js';

// What a pool says of its guests' program, in guests of one image; and how the host learns of their ends.

let host: Host;
let hostd: Awaited<ReturnType<Host['start']>>;
let client: HostdClient;
let count = 0;

beforeAll(async () => {
  host = await createImportHost();
  hostd = await host.start();
  client = host.client();
  await importOwn(host, 'app', {
    layers: [
      busyboxLayer(),
      [
        { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\n' },
        { name: 'etc/group', data: 'root:x:0:\napp:x:2345:\nextra:x:3456:app\n' },
        { name: 'tmp/', type: 'directory', mode: 0o1777 },
      ],
    ],
    config: {
      Cmd: ['/bin/sh', '-c', 'echo "of the image"; exec sleep 1000'],
      Env: ['KEPT=image', 'MODE=image'],
      Healthcheck: { Test: ['CMD-SHELL', 'test ! -e /tmp/sick'], Interval: 1e9, Retries: 2 },
    },
  });
}, 240_000);
afterAll(() => host?.dispose());

/** An instance of a pool that says this. */
async function run(program: GuestProgram): Promise<InstanceAddress> {
  count += 1;
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: `i-program-${count}` };
  await ensureTenantAndPool(client, 'acme', 3, {
    spec: {
      flake_ref: 'app',
      instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 },
      ...program,
    },
  });
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  return address;
}

const sh = (script: string): string[] => ['/bin/sh', '-c', script];

async function endOf(address: InstanceAddress): Promise<StopReason | null> {
  const { stop_reason } = await until(
    'stopped',
    async () => {
      const found = await client.request({ type: 'DescribeInstance', ...address });
      return found.status === 'stopped' ? found : null;
    },
    90_000,
  );
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  return stop_reason;
}

test('command, environment and user of a pool replace those of its image', async () => {
  const address = await run({
    command: sh('echo "$(id -u):$(id -G) $KEPT $MODE [$EMPTY] $HOME"; exec sleep 1000'),
    env: { MODE: 'pool=1', EMPTY: '' },
    user: 'app',
  });
  const text = await consoleSays(client, address, /^1234:.*$/m);
  expect(text).toContain('1234:2345 3456 image pool=1 [] /home/app\n');
  expect(text).not.toContain('of the image');
  const pools = await client.request({ type: 'ListTenants' });
  expect(pools.tenants[0]?.pools[0]).toMatchObject({ user: 'app', env: { MODE: 'pool=1', EMPTY: '' } });
  await client.request(
    { type: 'StopInstance', ...address, force: false, shutdown_timeout_secs: 60 },
    { timeoutMs: 90_000 },
  );
  expect(await endOf(address)).toMatchObject({
    kind: 'requested',
    guest: { reason: 'signaled', exit_code: 143, signal: 15 },
  });
});

test('a pool that says nothing runs its image, and one without a command waits', async () => {
  const plain = await run({});
  await consoleSays(client, plain, /^of the image$/m);
  await client.request({ type: 'DestroyInstance', ...plain, wipe_volumes: false });
  const idle = await run({ command: [] });
  expect(await consoleSays(client, idle, /mvm-guest ready /)).not.toContain('of the image');
  await client.request(
    { type: 'StopInstance', ...idle, force: false, shutdown_timeout_secs: 60 },
    { timeoutMs: 90_000 },
  );
  expect(await consoleText(client, idle)).toMatch(/mvm-guest powering off\nmvm-guest exited code=0\n/);
  expect(await endOf(idle)).toMatchObject({ kind: 'requested', guest: { reason: 'exited', exit_code: 0 } });
});

test.each([
  [
    'an exit code',
    { command: sh('echo bye; exit 3') },
    { reason: 'exited', exit_code: 3, signal: null },
    'the main process exited with code 3',
  ],
  [
    'a signal',
    { command: sh('kill -9 $$') },
    { reason: 'signaled', exit_code: 137, signal: 9 },
    'the main process was ended by SIGKILL',
  ],
  [
    'too little memory',
    {
      command: sh('dd if=/dev/zero of=/dev/shm/x bs=1M count=80; exec dd if=/dev/zero of=/dev/null bs=120M'),
    },
    { reason: 'oom_killed', exit_code: 137 },
    expect.stringContaining('ran out of memory'),
  ],
  [
    'a panic',
    { command: sh('echo c >/proc/sysrq-trigger') },
    { reason: 'panicked', exit_code: null, signal: null },
    "the guest's kernel panicked",
  ],
  [
    'a user that the image has not',
    { user: 'nobody-knows' },
    { reason: 'exited', exit_code: 126, signal: null },
    'the main process exited with code 126',
  ],
  [
    'the health check of the image, where the pool wants that',
    { command: sh('touch /tmp/sick; exec sleep 1000'), health: { on_unhealthy: 'stop' } },
    { reason: 'unhealthy', exit_code: 143, signal: 15 },
    'the guest was unhealthy; its main process was ended by SIGTERM',
  ],
] as const)('a guest that ends by itself says how: by %s', async (_what, program, guest, message) => {
  const address = await run(program as unknown as GuestProgram);
  expect(await endOf(address)).toMatchObject({ kind: 'exited', message, guest });
});

test('a health check of the pool replaces the one of the image, and its result is on the console', async () => {
  const address = await run({
    command: sh('touch /tmp/sick; sleep 5; touch /tmp/well; exec sleep 1000'),
    health: { command: sh('test -e /tmp/well'), interval_secs: 1, retries: 2 },
  });
  await consoleSays(
    client,
    address,
    /mvm-guest health status=unhealthy\n(.*\n)*mvm-guest health status=healthy\n/,
  );
  const { status } = await client.request({ type: 'DescribeInstance', ...address });
  expect(status).toBe('running');
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});

test('a guest that ended while no hostd was there is recorded with its exit code', async () => {
  const address = await run({ command: sh('sleep 4; exit 5') });
  await consoleSays(client, address, /mvm-guest ready /);
  await hostd.kill();
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  await host.start();
  client = host.client();
  expect(await endOf(address)).toMatchObject({ kind: 'exited', guest: { reason: 'exited', exit_code: 5 } });
}, 120_000);
