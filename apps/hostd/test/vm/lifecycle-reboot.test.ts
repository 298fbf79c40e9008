import type { HostdClient } from '@mvm/hostd-client';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { guestOf } from './guest.js';
import { createVmHost, greeting } from './vm-host.js';

// A real guest is rebooted in place: it shuts down, boots again, and finds its disk and its address.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-reboot' };

beforeAll(async () => {
  host = await createVmHost('test');
  hostd = await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
}, 240_000);
afterAll(() => host.dispose());

const info = () => client.request({ type: 'DescribeInstance', ...address });
const consoleEnd = async (): Promise<number> =>
  (await client.request({ type: 'InstanceLogs', ...address })).next_offset;
const guest = async () => guestOf(host, (await info()).net?.tap_dev ?? '');
const bootId = async (): Promise<string> =>
  await (await guest()).output('cat /proc/sys/kernel/random/boot_id');

test('a guest shuts down, boots again, and has what it had written and the address that it had', async () => {
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address, 0);
  const before = await info();
  const boot = await bootId();
  const running = await guest();
  await running.output('until pidof acpid; do sleep 0.1; done');
  // Not synced: only a shutdown brings it to the disk.
  await running.output('echo kept >/data/kept');
  const end = await consoleEnd();
  await client.request(
    { type: 'RebootInstance', ...address, shutdown_timeout_secs: 60 },
    { timeoutMs: 120_000 },
  );
  const after = await info();
  expect(after).toMatchObject({ status: 'running', net: before.net, stop_reason: null });
  expect(after.pid).not.toBe(before.pid);
  await greeting(client, address, end);
  expect(await bootId()).not.toBe(boot);
  expect(await (await guest()).output('cat /data/kept')).toBe('kept');
  const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address, offset: end });
  expect(Buffer.from(data_base64, 'base64').toString()).toContain('mvm-guest powering off');
}, 240_000);

test('hostd is killed while the guest shuts down; the instance can be rebooted all the same', async () => {
  const boot = await bootId();
  const waiting = client
    .request({ type: 'RebootInstance', ...address, shutdown_timeout_secs: 600 }, { timeoutMs: 60_000 })
    .catch((error: unknown) => error);
  await until('shutting down', async () => (await info()).operation === 'reboot');
  await hostd.kill();
  await waiting;
  hostd = await host.start();
  await until('settled', async () => (await info()).operation === null);
  const { status } = await info();
  const end = await consoleEnd();
  if (status === 'running')
    await client.request({ type: 'RebootInstance', ...address, force: true }, { timeoutMs: 60_000 });
  else await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address, end);
  expect(await bootId()).not.toBe(boot);
}, 240_000);
