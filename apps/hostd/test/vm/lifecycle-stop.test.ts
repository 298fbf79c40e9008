import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { guestOf } from './guest.js';
import { createVmHost, greeting } from './vm-host.js';

// A stop lets the guest shut down, as a power button does, for a time that is bounded and can be cut short.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-stop' };

beforeAll(async () => {
  host = await createVmHost('test');
  hostd = await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
}, 240_000);
afterAll(() => host.dispose());

const logs = async (): Promise<{ text: string; end: number }> => {
  const { data_base64, next_offset } = await client.request({ type: 'InstanceLogs', ...address });
  return { text: Buffer.from(data_base64, 'base64').toString(), end: next_offset };
};
const info = () => client.request({ type: 'DescribeInstance', ...address });
/** `seconds` null: the pool's. */
const stop = (seconds: number | null, force = false): Promise<unknown> =>
  client.request(
    {
      type: 'StopInstance',
      ...address,
      force,
      ...(seconds === null ? {} : { shutdown_timeout_secs: seconds }),
    },
    { timeoutMs: 90_000 },
  );

/** Started, greeted, and listening to its power button; `deaf`: to nothing. */
async function start(deaf = false): Promise<void> {
  const { end } = await client.request({ type: 'InstanceLogs', ...address }).then(
    ({ next_offset }) => ({ end: next_offset }),
    () => ({ end: 0 }),
  );
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address, end);
  const guest = guestOf(host, (await info()).net?.tap_dev ?? '');
  await guest.output('until pidof acpid; do sleep 0.1; done');
  // init would start it again.
  if (deaf)
    await guest.output(
      'echo "#!/bin/sh" >/run/deaf; chmod +x /run/deaf; mount --bind /run/deaf /etc/acpi/PWRF/00000080',
    );
}
/** How the last stops went, as the audit log tells it. */
async function shutdowns(count: number): Promise<unknown[]> {
  const text = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const stops = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ operation }) => operation === 'stop');
  return stops.slice(-count).map(({ details }) => details?.shutdown);
}
async function stopped(): Promise<void> {
  expect(await info()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'requested' } });
}

test('a guest shuts down, and what it had written is on its disk', async () => {
  await start();
  const guest = guestOf(host, (await info()).net?.tap_dev ?? '');
  // Not synced: only a shutdown brings it to the disk.
  await guest.output('echo kept >/data/kept');
  await stop(null);
  await stopped();
  expect(await shutdowns(1)).toEqual(['shut_down']);
  expect((await logs()).text).toContain('mvm-guest powering off');
  await start();
  expect(await guest.output('cat /data/kept')).toBe('kept');
  await stop(60);
  await stopped();
});

test('a guest that does not shut down is ended when its time is over, and that is audited', async () => {
  await start(true);
  const began = performance.now();
  await stop(3);
  expect(performance.now() - began).toBeGreaterThan(3000);
  await stopped();
  expect(await shutdowns(1)).toEqual(['timed_out']);
});

test.each([
  ['a stop by force', () => stop(null, true)],
  ['a stop of version 1', () => host.v1({ StopInstance: address })],
  ['a destroy', () => client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false })],
])('%s does not wait for a guest that shuts down', async (_, hurry) => {
  await start(true);
  const waiting = stop(600);
  await until('shutting down', async () => (await info()).operation === 'stop');
  const began = performance.now();
  const answer = await hurry();
  if (answer !== 'Ok') expect(answer).toMatchObject({ type: 'Ok' });
  await waiting;
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(await shutdowns(2)).toContain('overtaken');
  const { instances } = await client.request({ type: 'ListInstances' });
  expect(instances.map(({ status }) => status)).toEqual(_ === 'a destroy' ? [] : ['stopped']);
  if (_ === 'a destroy') await client.request({ type: 'CreateInstance', ...address });
});

test('without a word on it, and for a guest that is paused, a stop is immediate', async () => {
  await start(true);
  await client.request({ type: 'StopInstance', ...address });
  await stopped();
  expect(await shutdowns(1)).toEqual([undefined]);
  await start(true);
  await client.request({ type: 'WarmInstance', ...address });
  await stop(600);
  await stopped();
});

test('hostd is killed while a guest shuts down: the guest goes on, or its end is recorded', async () => {
  await start(true);
  const waiting = stop(600).catch(() => 'failed');
  await until('shutting down', async () => (await info()).operation === 'stop');
  await hostd.kill();
  expect(await waiting).toBe('failed');
  hostd = await host.start();
  expect(await info()).toMatchObject({ status: 'running', operation: null });
  await stop(null, true);
  await stopped();
});

test('hostd that is stopped does not outlive what it waits for by much: another one finds the guest', async () => {
  await start(true);
  const waiting = stop(600).catch(() => 'failed');
  await until('shutting down', async () => (await info()).operation === 'stop');
  // It waits for half a minute; killed after a minute, it would not have ended by itself.
  expect(await hostd.stop(60_000)).toBe('status 0');
  expect(hostd.logs()).toContain('is interrupted');
  expect(await waiting).toBe('failed');
  hostd = await host.start();
  expect(await info()).toMatchObject({ status: 'running', operation: null });
  await stop(null, true);
  await stopped();
}, 90_000);

test('the pool says how long, and a plan says it too', async () => {
  await start(true);
  const plan = (shutdown: object) =>
    client.request({ type: 'PlanRequest', request: { type: 'StopInstance', ...address, ...shutdown } });
  expect((await plan({ force: false })).notes).toEqual([
    'before the first step the guest may shut down for up to 15 seconds',
  ]);
  expect((await plan({})).notes).toEqual([]);
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
