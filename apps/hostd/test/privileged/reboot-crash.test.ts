import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFailpointSetting } from '../../src/crash/failpoint.js';
import type { InstanceAddress } from '../../src/state/layout.js';
import { createModelHost, type ModelHost } from '../model/host.js';
import { queryVm } from '../model/machines.js';
import { ensureTenantAndPool } from '../tenants.js';

// hostd is killed at each step of a reboot: the next one finishes it.

let host: ModelHost;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
beforeAll(async () => {
  host = await createModelHost();
}, 60_000);
afterAll(() => host.dispose());

const described = () => host.client.request({ type: 'DescribeInstance', ...address });

test.each([
  'journal/after',
  'image.activate/after',
  'vm.kill/before',
  'vm.kill/after',
  'port.detach/after',
  'cgroup.remove/after',
  'runtime.remove/after',
  'runtime.create/after',
  'config_drive.build/after',
  'cgroup.create/after',
  'port.attach/after',
  'vm.launch/after',
  'vm.record/after',
  'vm.resume/after',
  'instance.commit_running/before',
  'instance.commit_running/after',
  'journal_end/before',
])('killed at %s: the instance runs, in another boot, with its address', async (point) => {
  await host.reset();
  await ensureTenantAndPool(host.client, 'acme', 3);
  await host.client.request({ type: 'CreateInstance', ...address });
  await host.client.request({ type: 'StartInstance', ...address });
  const before = await described();
  const control = join(host.layout.vmSocketDir(before.net?.tap_dev ?? ''), 'control.sock');
  const { boot } = await queryVm(control);
  await host.kill();
  const failpoint = parseFailpointSetting(`reboot/${point}`);
  if (failpoint === null) throw new Error('no failpoint');
  await host.start(failpoint);
  await expect(
    host.client.request({ type: 'RebootInstance', ...address, force: true }),
  ).rejects.toMatchObject({ code: 'unavailable' });
  await host.kill();
  // The reboot was complete: the guest that it booted is the one that runs.
  const isComplete = point === 'journal_end/before' || point === 'instance.commit_running/after';
  const booted = isComplete ? (await queryVm(control)).boot : null;
  await host.start();
  const after = await described();
  expect(after).toMatchObject({ status: 'running', operation: null, stop_reason: null, net: before.net });
  const now = await queryVm(control);
  expect(now.running).toBe(true);
  expect(now.boot).not.toBe(boot);
  expect(existsSync(host.layout.journal(address))).toBe(false);
  if (booted !== null) expect(now.boot).toBe(booted);
  await host.client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
