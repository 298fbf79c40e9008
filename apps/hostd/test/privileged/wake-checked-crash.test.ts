import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFailpointSetting } from '../../src/crash/failpoint.js';
import type { InstanceAddress } from '../../src/state/layout.js';
import { createModelHost, type ModelHost } from '../model/host.js';
import { queryVm } from '../model/machines.js';
import { ensureTenantAndPool } from '../tenants.js';

// hostd is killed while a guest runs whose memory is not checked yet: the next one checks it.

let host: ModelHost;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
beforeAll(async () => {
  host = await createModelHost();
}, 60_000);
afterAll(() => host.dispose());

const described = () => host.client.request({ type: 'DescribeInstance', ...address });

test.each([
  ['good', 'running'],
  ['damaged', 'stopped'],
  // It was checked before hostd was killed, and is being discarded.
  ['removed', 'running'],
] as const)('memory that is %s: the instance is %s', async (state, status) => {
  await host.reset();
  await ensureTenantAndPool(host.client, 'acme', 3);
  await host.client.request({ type: 'CreateInstance', ...address });
  await host.client.request({ type: 'StartInstance', ...address });
  const vmId = (await described()).net?.tap_dev ?? '';
  const control = join(host.layout.vmSocketDir(vmId), 'control.sock');
  const { boot } = await queryVm(control);
  await host.client.request({ type: 'SleepInstance', ...address, force: true });
  await host.kill();
  const step = state === 'removed' ? 'snapshot.discard' : 'snapshot.check';
  const failpoint = parseFailpointSetting(`wake/${step}/before`);
  if (failpoint === null) throw new Error('no failpoint');
  await host.start(failpoint);
  await expect(host.client.request({ type: 'WakeInstance', ...address })).rejects.toMatchObject({
    code: 'unavailable',
  });
  await host.kill();
  const used = join(host.layout.snapshotsDir(address), 'delta.used');
  const memory = join(used, 'memory');
  expect(await queryVm(control)).toMatchObject({ boot, running: true });
  const bytes = readFileSync(memory);
  bytes[0] = (bytes[0] ?? 0) ^ 255;
  if (state !== 'good') writeFileSync(memory, bytes);
  if (state === 'removed') rmSync(memory);
  await host.start();
  const after = await described();
  expect(after.status).toBe(status);
  if (status === 'running') expect(await queryVm(control)).toMatchObject({ boot, running: true });
  else {
    expect(after.stop_reason).toMatchObject({ kind: 'lost', message: expect.stringContaining('checksum') });
    expect(existsSync(control)).toBe(false);
  }
  expect([existsSync(used), existsSync(host.layout.journal(address))]).toEqual([false, false]);
  await host.client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
