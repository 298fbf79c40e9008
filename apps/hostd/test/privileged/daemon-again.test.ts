import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { VmmCall } from '../fake-vmm/driver.js';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';

// What hostd does by itself and cannot do at once, it does as soon as it can: nothing else would.

let one: OneInstance;

beforeEach(async () => {
  one = await createOneInstance();
}, 60_000);
afterEach(() => one.dispose());

const endVm = async (): Promise<void> => {
  const { pid } = await one.described();
  // SAFETY: a VMM that this test has started.
  process.kill(pid ?? 0, 'SIGKILL');
};
const entries = (wanted: string): { readonly operation: string }[] =>
  readFileSync(one.layout.auditLog('acme'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ operation }) => operation === wanted);

/** The next hostd, whose VMM does not let itself be found for the first `times` times. */
async function startDeaf(call: VmmCall, times: number): Promise<void> {
  let left = times;
  await one.restart(() => {
    one.faultOf = (met) => {
      if (met !== call || left === 0) return null;
      left -= 1;
      return 'fail';
    };
  });
  expect((await one.described()).status).toBe('running');
}

test.each<[VmmCall, number]>([
  ['adopt', 2],
  ['resume', 1],
])('a VM that could not be found at the start is watched as soon as it answers (%s)', async (call, times) => {
  await startDeaf(call, times);
  await until('recovered', () => one.hostd.log.some(({ msg }) => msg === 'instance is recovered'), 20_000);
  await endVm();
  await until('its end is noticed', async () => (await one.described()).status === 'stopped', 5_000);
  await one.client.request({ type: 'StartInstance', ...one.address });
});

test('what needs a VM that could not be found at the start looks for it first', async () => {
  await startDeaf('adopt', 1);
  await one.client.request({ type: 'SleepInstance', ...one.address, force: true });
  await one.client.request({ type: 'WakeInstance', ...one.address });
  await startDeaf('adopt', 1);
  await one.client.request({ type: 'WarmInstance', ...one.address });
  await one.client.request({ type: 'ResumeInstance', ...one.address });
});

test('a VM that ends while nothing can be written is cleaned up once something can', async () => {
  // A journal cannot take the place of a directory that is not empty.
  const obstacle = join(one.layout.journal(one.address), 'in-the-way');
  mkdirSync(obstacle, { recursive: true });
  await endVm();
  await until(
    'it was tried',
    () => one.hostd.log.some(({ msg }) => /hostd will retry/.test(String(msg))),
    5_000,
  );
  expect((await one.described()).status).toBe('running');
  rmSync(one.layout.journal(one.address), { recursive: true });
  await until('cleaned up', async () => (await one.described()).status === 'stopped', 20_000);
  expect((await one.described()).stop_reason).toMatchObject({ kind: 'exited', signal: 'SIGKILL' });
  await until('audited', () => entries('vm_exited').length === 1);
});

test('a VM that ended while no hostd ran leaves word of it, also once the instance runs again', async () => {
  const { pid } = await one.described();
  // SAFETY: a VMM that this test has started.
  await one.restart(() => process.kill(pid ?? 0, 'SIGKILL'));
  expect((await one.described()).stop_reason).toMatchObject({ kind: 'lost' });
  await one.client.request({ type: 'StartInstance', ...one.address });
  expect(entries('vm_exited')).toMatchObject([
    {
      ...one.address,
      peer: null,
      reason: 'lost',
      message: `the VMM (pid ${pid}) was gone when hostd started`,
    },
  ]);
  expect(one.hostd.log).toContainEqual(
    expect.objectContaining({
      msg: expect.stringMatching(/^a VM was gone/),
      instance: one.address.instance_id,
    }),
  );
});
