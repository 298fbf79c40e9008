import { connect } from 'node:net';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';

// What comes while a guest takes its time to shut down for a reboot.

let one: OneInstance;
let launches: number;
let rebooting: Promise<unknown>;

beforeEach(async () => {
  one = await createOneInstance();
  launches = 0;
  one.faultOf = (call) => {
    if (call === 'launch') launches += 1;
    return null;
  };
  // A guest that does not run hears nothing, and hostd believes that it runs.
  const control = connect(join(one.layout.vmSocketDir(one.vmId), 'control.sock'));
  await new Promise<void>((resolve) => {
    control.once('data', () => resolve());
    control.write('pause\n');
  });
  control.destroy();
}, 60_000);
afterEach(() => one.dispose());

async function beginReboot(): Promise<void> {
  rebooting = one.client.request({ type: 'RebootInstance', ...one.address, shutdown_timeout_secs: 60 }).then(
    () => 'ok',
    (error: unknown) => error,
  );
  await until('the guest is asked', async () => {
    const { operation } = await one.described();
    return operation === 'reboot';
  });
}

test('a forced stop ends the reboot, and no VM is booted for it', async () => {
  await beginReboot();
  await one.client.request({ type: 'StopInstance', ...one.address, force: true });
  expect(await rebooting).toMatchObject({ code: 'aborted', reason: 'instance.reboot_overtaken' });
  expect(launches).toBe(0);
  expect(await one.described()).toMatchObject({ status: 'stopped', stop_reason: { kind: 'requested' } });
});

test('so does a destroy', async () => {
  await beginReboot();
  await one.client.request({ type: 'DestroyInstance', ...one.address, wipe_volumes: false });
  expect(await rebooting).toMatchObject({ reason: 'instance.reboot_overtaken' });
  expect(launches).toBe(0);
});

test('a forced reboot makes it go on at once', async () => {
  await beginReboot();
  await one.client.request({ type: 'RebootInstance', ...one.address, force: true });
  expect(await rebooting).toBe('ok');
  expect(launches).toBe(1);
  expect((await one.vm()).running).toBe(true);
});

test('what the reboot will need is not given to another start meanwhile', async () => {
  const other = { ...one.address, instance_id: 'i-b' };
  await one.client.request({ type: 'CreateInstance', ...other });
  const spec = poolSpec();
  const { vcpus } = spec.instance_resources;
  // Room for this one as it runs and another one, and not for both when this one has twice as much.
  await ensureTenantAndPool(one.client, 'acme', 3, {
    quotas: { max_vcpus: 3 * vcpus },
    spec: { instance_resources: { ...spec.instance_resources, vcpus: 2 * vcpus } },
  });
  await beginReboot();
  const start = { type: 'StartInstance', ...other } as const;
  try {
    await until('what it needs is taken', async () =>
      one.client.request({ type: 'PlanRequest', request: start }).then(
        () => false,
        () => true,
      ),
    );
    await expect(one.client.request(start)).rejects.toMatchObject({
      reason: 'quota.exceeded',
    });
    await one.client.request({ type: 'RebootInstance', ...one.address, force: true });
    expect(await rebooting).toBe('ok');
    expect((await one.described()).resources).toMatchObject({ vcpus: 2 * vcpus });
  } finally {
    await one.client.request({ type: 'DestroyInstance', ...other, wipe_volumes: false });
  }
});
