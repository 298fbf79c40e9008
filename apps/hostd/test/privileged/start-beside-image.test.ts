import { existsSync, readFileSync } from 'node:fs';
import type { HostdClient } from '@mvm/hostd-client';
import { until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLayout, type InstanceAddress } from '../../src/state/layout.js';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';

// A pool gets another image while one of its instances is being started: the files that this one boots must stay.

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
let host: Host;
let hostd: InProcessHostd;
let client: HostdClient;

beforeEach(async () => {
  host = await createHost();
  hostd = await startInProcess(host, { faultOf: (call) => (call === 'launch' ? 1500 : null) });
  client = host.client();
  for (const name of ['demo', 'next']) await hostd.registerImage(name);
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
}, 60_000);
afterEach(async () => {
  await client.close();
  await hostd.close();
  await host.dispose();
});

test('an instance that was started beside a change of its pool’s image sleeps and wakes', async () => {
  const starting = client.request({ type: 'StartInstance', ...address });
  await until('the start is at its VM', () =>
    hostd.log.some(({ step, msg }) => step === 'port.attach' && msg === 'step done'),
  );
  await client.request({ type: 'EnsurePool', ...address, spec: poolSpec({ flake_ref: 'next' }) });
  await starting;
  const layout = createLayout(host.stateDir, host.runDir);
  const { running_with } = JSON.parse(readFileSync(layout.instanceRecord(address), 'utf8'));
  expect(running_with.image.name).toBe('demo');
  await client.request({ type: 'SleepInstance', ...address, force: true });
  await client.request({ type: 'WakeInstance', ...address });
  expect(existsSync(layout.revisionDir(address, running_with.image.digest))).toBe(true);
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
