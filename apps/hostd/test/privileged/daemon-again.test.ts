import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLayout, type InstanceAddress, type Layout } from '../../src/state/layout.js';
import { createTestHost, ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import type { Fault, VmmCall } from '../stand-in/driver.js';
import { type InProcessHostd, startInProcess } from '../stand-in/in-process.js';

// What hostd does by itself and cannot do at once, it does as soon as it can: nobody else would.

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
let host: TestHost;
let hostd: InProcessHostd;
let client: HostdClient;
let layout: Layout;
let faultOf: (call: VmmCall) => Fault | null;

beforeEach(async () => {
  await execa('ip', ['link', 'set', 'lo', 'up']);
  host = await createTestHost();
  layout = createLayout(host.stateDir, host.runDir);
  faultOf = () => null;
  hostd = await startInProcess(host);
  client = host.client();
  await hostd.registerImage('demo');
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
}, 60_000);
afterEach(async () => {
  faultOf = () => null;
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  await client.close();
  await hostd.close();
  await host.dispose();
});

const info = () => client.request({ type: 'DescribeInstance', ...address });
const endVm = async (): Promise<void> => {
  const { pid } = await info();
  // SAFETY: a VMM that this test has started.
  process.kill(pid ?? 0, 'SIGKILL');
};
const entries = (wanted: string): { readonly operation: string }[] =>
  readFileSync(layout.auditLog('acme'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ operation }) => operation === wanted);

/** The next hostd, whose VMM does not let itself be found for the first `times` times. */
async function startDeaf(call: VmmCall, times: number): Promise<void> {
  await hostd.close();
  let left = times;
  faultOf = (met) => {
    if (met !== call || left === 0) return null;
    left -= 1;
    return 'fail';
  };
  hostd = await startInProcess(host, { faultOf: (met) => faultOf(met) });
  expect((await info()).status).toBe('running');
}

test.each<[VmmCall, number]>([
  ['adopt', 2],
  ['resume', 1],
])('a VM that could not be found at the start is watched as soon as it answers (%s)', async (call, times) => {
  await startDeaf(call, times);
  await until('recovered', () => hostd.log.some(({ msg }) => msg === 'instance is recovered'), 20_000);
  await endVm();
  await until('its end is noticed', async () => (await info()).status === 'stopped', 5_000);
  await client.request({ type: 'StartInstance', ...address });
});

test('what needs a VM that could not be found at the start looks for it first', async () => {
  await startDeaf('adopt', 1);
  await client.request({ type: 'SleepInstance', ...address, force: true });
  await client.request({ type: 'WakeInstance', ...address });
  await startDeaf('adopt', 1);
  await client.request({ type: 'WarmInstance', ...address });
  await client.request({ type: 'ResumeInstance', ...address });
});

test('a VM that ends while nothing can be written is cleaned up once something can', async () => {
  // A journal cannot take the place of a directory that is not empty.
  const obstacle = join(layout.journal(address), 'in-the-way');
  mkdirSync(obstacle, { recursive: true });
  await endVm();
  await until('it was tried', () => hostd.log.some(({ msg }) => /is tried again/.test(String(msg))), 5_000);
  expect((await info()).status).toBe('running');
  rmSync(layout.journal(address), { recursive: true });
  await until('cleaned up', async () => (await info()).status === 'stopped', 20_000);
  expect((await info()).stop_reason).toMatchObject({ kind: 'exited', signal: 'SIGKILL' });
  await until('audited', () => entries('vm_exited').length === 1);
});

test('a VM that ended while no hostd ran leaves word of it, also once the instance runs again', async () => {
  await hostd.close();
  const { vm } = JSON.parse(readFileSync(layout.instanceRecord(address), 'utf8'));
  // SAFETY: a VMM that this test has started.
  process.kill(vm.pid, 'SIGKILL');
  hostd = await startInProcess(host);
  expect((await info()).stop_reason).toMatchObject({ kind: 'lost' });
  await client.request({ type: 'StartInstance', ...address });
  expect(entries('vm_exited')).toMatchObject([
    {
      ...address,
      peer: null,
      reason: 'lost',
      message: `the VMM (pid ${vm.pid}) was gone when hostd started`,
    },
  ]);
  expect(hostd.log).toContainEqual(
    expect.objectContaining({ msg: expect.stringMatching(/^a VM was gone/), instance: address.instance_id }),
  );
});
