import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, leftSince, look } from './vm-host.js';

let host: Host;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-novmm' };

beforeAll(async () => {
  host = await createVmHost();
}, 240_000);
afterAll(() => host.dispose());

test('without QEMU a start fails with a hint, and is undone', async () => {
  await host.start({ args: ['--qemu-binary', '/nonexistent/qemu'] });
  const client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  const quiet = await look(host);
  expect(await client.request({ type: 'HostInfo' })).toMatchObject({ vmm_version: null });
  await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: expect.stringMatching(/^start failed: /),
    hint: expect.any(String),
  });
  expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject({
    status: 'ready',
    pid: null,
    stop_reason: { kind: 'start_failed' },
  });
  expect(await leftSince(host, quiet)).toEqual([]);
});
