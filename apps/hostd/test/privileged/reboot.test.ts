import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';

// A reboot ends the VM and boots the instance again in its place: same disk, same address, another boot.

let one: OneInstance;
let bootId: string;

beforeEach(async () => {
  one = await createOneInstance();
  bootId = (await one.vm()).boot;
}, 60_000);
afterEach(() => one.dispose());

const reboot = (fields: { force?: boolean; shutdown_timeout_secs?: number } = { force: true }) =>
  one.client.request({ type: 'RebootInstance', ...one.address, ...fields });
const audited = (): unknown[] =>
  readFileSync(one.layout.auditLog('acme'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ operation }) => operation === 'reboot');
const journaled = (): boolean => existsSync(one.layout.journal(one.address));

test.each([
  ['running', { shutdown_timeout_secs: 2 }],
  ['warm', {}],
  ['running', { force: true }],
] as const)('a %s instance boots again with its disk and its address (%j)', async (status, fields) => {
  const before = await one.described();
  writeFileSync(one.layout.dataDisk(one.address), 'kept', { flag: 'r+' });
  if (status === 'warm') await one.client.request({ type: 'WarmInstance', ...one.address });
  await reboot(fields);
  const after = await one.described();
  expect(after).toMatchObject({ status: 'running', operation: null, stop_reason: null });
  expect(after.net).toEqual(before.net);
  expect(after.pid).not.toBe(before.pid);
  expect(existsSync(`/proc/${before.pid}`)).toBe(false);
  const { boot, running } = await one.vm();
  expect(running).toBe(true);
  expect(boot).not.toBe(bootId);
  expect(readFileSync(one.layout.dataDisk(one.address)).subarray(0, 4).toString()).toBe('kept');
  expect(journaled()).toBe(false);
  expect(audited()).toEqual([expect.objectContaining({ ...one.address, result: 'ok' })]);
});

test('it boots with what its pool has now', async () => {
  const spec = poolSpec({ instance_resources: { vcpus: 2, mem_mib: 192, data_disk_mib: 8 } });
  await one.client.request({ type: 'EnsurePool', tenant_id: 'acme', pool_id: 'workers', spec });
  await reboot();
  expect((await one.described()).resources).toMatchObject({ vcpus: 2, mem_mib: 192 });
});

test('what is refused is refused before the guest is asked: it runs on', async () => {
  const spec = poolSpec({ flake_ref: 'not-registered' });
  await one.client.request({ type: 'EnsurePool', tenant_id: 'acme', pool_id: 'workers', spec });
  await expect(reboot({ shutdown_timeout_secs: 60 })).rejects.toMatchObject({ reason: 'image.not_found' });
  expect(await one.vm()).toMatchObject({ running: true, boot: bootId });
  expect(journaled()).toBe(false);
  expect(audited()).toEqual([expect.objectContaining({ result: 'error', reason: 'image.not_found' })]);
  await ensureTenantAndPool(one.client, 'acme', 3);
});

test('an instance that does not run is refused', async () => {
  await one.client.request({ type: 'StopInstance', ...one.address });
  await expect(reboot()).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
    message: 'cannot reboot an instance that is stopped: no transition from stopped to running',
  });
});

test.each(['launch', 'resume'] as const)(
  'a new VM that does not run (%s) leaves it stopped, and it can be started',
  async (call) => {
    one.faultOf = (met) => (met === call ? 'fail' : null);
    await expect(reboot()).rejects.toThrow();
    one.faultOf = () => null;
    expect(await one.described()).toMatchObject({
      status: 'stopped',
      pid: null,
      stop_reason: { kind: 'start_failed', message: expect.stringContaining('the reboot failed: ') },
    });
    expect(journaled()).toBe(false);
    expect(existsSync(one.layout.vmSocketDir(one.vmId))).toBe(false);
    await one.client.request({ type: 'StartInstance', ...one.address });
    expect((await one.vm()).running).toBe(true);
  },
);

test.each([
  { type: 'StopInstance', force: true },
  { type: 'DestroyInstance', wipe_volumes: false },
] as const)('what ends the VM of a reboot that did not end does not boot it first (%j)', async (request) => {
  const journal = one.layout.journal(one.address);
  one.faultOf = (call) => {
    if (call === 'launch') copyFileSync(journal, `${journal}.kept`);
    return null;
  };
  await reboot();
  one.faultOf = () => null;
  await reboot();
  // As if the first of the two had neither ended nor been recovered.
  renameSync(`${journal}.kept`, journal);
  let launches = 0;
  one.faultOf = (call) => {
    if (call === 'launch') launches += 1;
    return call === 'launch' ? 'fail' : null;
  };
  await one.client.request({ ...request, ...one.address });
  expect(launches).toBe(0);
  expect(existsSync(one.layout.vmSocketDir(one.vmId))).toBe(false);
  expect(journaled()).toBe(false);
  if (request.type === 'DestroyInstance') return;
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'requested' } });
});

test('a dry run changes nothing and lists the steps of the reboot', async () => {
  const request = { type: 'RebootInstance', ...one.address } as const;
  const plan = await one.client.request({ type: 'PlanRequest', request });
  expect(plan).toMatchObject({ operation: 'reboot', on_failure: 'finish' });
  expect(plan.steps.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(['vm.kill', 'vm.launch', 'instance.commit_running']),
  );
  expect(plan.notes).toContain('when the new VM does not start, the instance is stopped');
  expect(await one.vm()).toMatchObject({ running: true, boot: bootId });
});
