import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFailpointSetting } from '../../src/crash/failpoint.js';
import type { InstanceAddress } from '../../src/state/layout.js';
import { createModelHost, type ModelHost } from '../model/host.js';
import { queryVm } from '../model/machines.js';
import { ensureTenantAndPool } from '../tenants.js';

// hostd is killed while it gives a snapshot back whose guest was not let run.

let host: ModelHost;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
beforeAll(async () => {
  host = await createModelHost();
}, 60_000);
afterAll(() => host.dispose());

const described = () => host.client.request({ type: 'DescribeInstance', ...address });

test.each([
  // Used, with its VM still there and paused: that one goes on, as after any crash past the commit point.
  ['before', 'running'],
  ['after', 'sleeping'],
] as const)('killed right %s: the same boot goes on, once', async (moment, status) => {
  await host.reset();
  await ensureTenantAndPool(host.client, 'acme', 3);
  await host.client.request({ type: 'CreateInstance', ...address });
  await host.client.request({ type: 'StartInstance', ...address });
  const vmId = (await described()).net?.tap_dev ?? '';
  const control = join(host.layout.vmSocketDir(vmId), 'control.sock');
  const { boot } = await queryVm(control);
  await host.client.request({ type: 'SleepInstance', ...address, force: true });
  await host.kill();
  const failpoint = parseFailpointSetting(`wake/snapshot.consume/${moment}-undo`);
  if (failpoint === null) throw new Error('no failpoint');
  await host.start(failpoint);
  await host.arm('resume', 'fail');
  await expect(host.client.request({ type: 'WakeInstance', ...address })).rejects.toMatchObject({
    code: 'unavailable',
  });
  await host.kill();
  await host.start();
  expect((await described()).status).toBe(status);
  if (status === 'sleeping') await host.client.request({ type: 'WakeInstance', ...address });
  expect(await queryVm(control)).toMatchObject({ boot, running: true });
  expect(existsSync(host.layout.journal(address))).toBe(false);
  await host.client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
