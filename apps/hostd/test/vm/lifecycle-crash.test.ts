import { readFile } from 'node:fs/promises';
import type { HostdClient } from '@mvm/hostd-client';
import type { HostSnapshot, RunningDaemon } from '@mvm/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StepKind } from '../../src/lifecycle/steps.js';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import { everyPlan } from '../records.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from './vm-host.js';

let host: TestHost;
let client: HostdClient;
let daemon: RunningDaemon;
let quiet: HostSnapshot;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-crash' };

beforeAll(async () => {
  host = await createVmHost();
  daemon = await host.start({ args: ['--log-level', 'trace'] });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  quiet = await look(host);
}, 240_000);
afterAll(() => host.dispose());

const info = (): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...address });

async function restart(): Promise<void> {
  daemon = await host.start({ args: ['--log-level', 'trace'] });
}

/** Kill hostd as soon as it says that this step of a request begins (or, for `done`, is complete). */
async function killAt(
  step: StepKind,
  moment: 'step begins' | 'step done',
  request: () => Promise<unknown>,
): Promise<void> {
  const from = daemon.logs().length;
  const answered = request().then(
    () => 'answered',
    () => 'failed',
  );
  const said = new RegExp(`"step":"${step.replace('.', '\\.')}".*"msg":"${moment}"`);
  await until(`${step} ${moment}`, () => said.test(daemon.logs().slice(from))).catch((error: unknown) => {
    throw new Error(`${error}\n${daemon.logs().slice(-4000)}`);
  });
  await daemon.kill();
  await answered;
}

test('a VM outlives hostd: killed and started again, it adopts the same guest', async () => {
  await client.request({ type: 'StartInstance', ...address });
  const hello = await greeting(client, address);
  const before = await info();
  await daemon.kill();
  await restart();
  expect(await info()).toMatchObject({ status: 'running', pid: before.pid, stop_reason: null });
  const counted = await guestCount(client, address);
  await until('the guest counts on', async () => (await guestCount(client, address)) > counted, 60_000);
  expect(await greeting(client, address)).toBe(hello);
  await client.request({ type: 'StopInstance', ...address });
  expect(await leftSince(host, quiet)).toEqual([]);
});

test('a VM that died while hostd was down is recorded as lost, and cleaned up', async () => {
  await client.request({ type: 'StartInstance', ...address });
  const { pid } = await info();
  await daemon.kill();
  process.kill(pid as number, 'SIGKILL');
  await restart();
  expect(await info()).toMatchObject({ status: 'stopped', pid: null, stop_reason: { kind: 'lost' } });
  expect(await leftSince(host, quiet)).toEqual([]);
});

// Out of the planners, so that a new step cannot be forgotten here.
const plans = everyPlan();

test.each(plans.start)(
  'hostd killed while a start is at %s: undone or running, nothing leaked',
  async (step) => {
    await killAt(step, 'step begins', () => client.request({ type: 'StartInstance', ...address }));
    await restart();
    const view = await info();
    // The commit may have become durable before the signal came.
    if (view.status === 'running') await client.request({ type: 'StopInstance', ...address });
    else expect(view).toMatchObject({ status: 'stopped', pid: null, stop_reason: { kind: 'start_failed' } });
    expect(await leftSince(host, quiet)).toEqual([]);
    await expect(readFile(instanceFile(host, address, 'op.json'))).rejects.toThrow('ENOENT');
  },
);

test.each(plans.stop)('hostd killed while a stop is at %s: finished at the next start', async (step) => {
  await client.request({ type: 'StartInstance', ...address });
  await killAt(step, 'step begins', () => client.request({ type: 'StopInstance', ...address }));
  await restart();
  expect(await info()).toMatchObject({ status: 'stopped', pid: null, stop_reason: { kind: 'requested' } });
  expect(await leftSince(host, quiet)).toEqual([]);
});

test.each(plans.destroy)(
  'hostd killed while a destroy is at %s: finished at the next start',
  async (step) => {
    const doomed = { ...address, instance_id: `i-${step.replaceAll(/[._]/g, '-')}` };
    await client.request({ type: 'CreateInstance', ...doomed });
    await client.request({ type: 'StartInstance', ...doomed });
    await killAt(step, 'step begins', () =>
      client.request({ type: 'DestroyInstance', ...doomed, wipe_volumes: true }),
    );
    await restart();
    await expect(client.request({ type: 'DescribeInstance', ...doomed })).rejects.toMatchObject({
      reason: 'instance.not_found',
    });
    expect(await leftSince(host, quiet)).toEqual([]);
  },
);

test('without QEMU a start fails with a hint, and is undone', async () => {
  await daemon.stop();
  daemon = await host.start({ args: ['--qemu-binary', '/nonexistent/qemu'] });
  expect(await client.request({ type: 'HostInfo' })).toMatchObject({ vmm_version: null });
  await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: expect.stringMatching(/^start failed: /),
    hint: expect.any(String),
  });
  expect(await info()).toMatchObject({ status: 'stopped', pid: null, stop_reason: { kind: 'start_failed' } });
  expect(await leftSince(host, quiet)).toEqual([]);
});
