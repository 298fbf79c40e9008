import { execFileSync } from 'node:child_process';
import type { HostdClient } from '@mvm/hostd-client';
import type { InstanceActivity } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, greeting } from './vm-host.js';

let host: Host;
let client: HostdClient;
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-busy' };

beforeAll(async () => {
  host = await createVmHost();
  await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
}, 60_000);
afterAll(() => host.dispose());

async function activity(): Promise<InstanceActivity | undefined> {
  return (await client.request({ type: 'ListActivity' })).activity[0];
}

test('a VM’s counters grow with what it does, and only while it has one', async () => {
  expect(await client.request({ type: 'ListActivity' })).toMatchObject({ activity: [], next_cursor: null });
  await client.request({ type: 'StartInstance', ...address });
  await greeting(client, address);
  const { net, pid } = await client.request({ type: 'DescribeInstance', ...address });
  const before = await activity();
  expect(before).toMatchObject({ ...address, status: 'running', pid });
  // A boot takes CPU time, and a guest that has its address has sent something.
  expect(before?.cpu_usec).toBeGreaterThan(100_000);
  const { runtime } = await client.request({ type: 'DescribeInstance', ...address });
  expect(before?.memory_bytes).toBeGreaterThan(1024 * 1024);
  expect(before?.memory_bytes).toBeLessThanOrEqual(runtime?.memory_max_bytes ?? 0);

  const size = 1000;
  execFileSync('ping', ['-c', '5', '-i', '0.2', '-s', String(size), net?.guest_ip ?? ''], {
    stdio: 'ignore',
  });
  const after = await until('frames counted', async () => {
    const now = await activity();
    return (now?.rx_packets ?? 0) >= (before?.rx_packets ?? 0) + 5 ? now : null;
  });
  for (const counter of ['rx_bytes', 'tx_bytes'] as const) {
    expect((after?.[counter] ?? 0) - (before?.[counter] ?? 0)).toBeGreaterThanOrEqual(5 * size);
  }
  expect(after?.cpu_usec).toBeGreaterThan(before?.cpu_usec ?? 0);

  await client.request({ type: 'WarmInstance', ...address });
  expect(await activity()).toMatchObject({ status: 'warm', pid });
  await client.request({ type: 'SleepInstance', ...address, force: true, drain_timeout_secs: null });
  expect(await activity()).toBeUndefined();

  await client.request({ type: 'WakeInstance', ...address });
  const woken = await activity();
  // Another VM: its counters began again.
  expect(woken?.pid).not.toBe(pid);
  expect(woken?.rx_bytes).toBeLessThan(5 * size);
}, 120_000);
