import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostdClient } from '@mvm/hostd-client';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost } from './vm-host.js';

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-hung' };
const slow = { timeoutMs: 120_000 };
let host: Host;
let client: HostdClient;

beforeAll(async () => {
  host = await createVmHost();
  await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
});
afterAll(() => host.dispose());

/** The instance runs, and its VMM answers nothing any more. */
async function runThenHang(): Promise<number> {
  await client.request({ type: 'StartInstance', ...address }, slow);
  const { pid } = await client.request({ type: 'DescribeInstance', ...address });
  if (pid == null) throw new Error('it has no VMM');
  process.kill(pid, 'SIGSTOP');
  await until('it is stopped', async () => /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1')));
  return pid;
}
const isThere = (pid: number): boolean => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
};

test('a hung VMM: a forced stop ends it although a sleep waits for it', async () => {
  await client.request({ type: 'CreateInstance', ...address });
  const pid = await runThenHang();
  const sleeping = client
    .request({ type: 'SleepInstance', ...address, force: true }, slow)
    .catch((error: unknown) => error);
  await sleep(500);
  await client.request({ type: 'StopInstance', ...address, force: true }, slow);
  expect(isThere(pid)).toBe(false);
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({ status: 'stopped' });
  expect(await sleeping).toMatchObject({ message: expect.anything() });
});

test('a hung VMM: what a failed sleep left to be undone keeps no forced stop and no destroy', async () => {
  const pid = await runThenHang();
  // It times out, and so does undoing it.
  await expect(
    client.request({ type: 'SleepInstance', ...address, force: true }, slow),
  ).rejects.toMatchObject({ reason: 'vmm.command_timeout' });
  await client.request({ type: 'StopInstance', ...address, force: true }, slow);
  expect(isThere(pid)).toBe(false);
  const again = await runThenHang();
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false }, slow);
  expect(isThere(again)).toBe(false);
  await expect(client.request({ type: 'DescribeInstance', ...address })).rejects.toMatchObject({
    code: 'not_found',
  });
});
