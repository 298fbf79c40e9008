import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { testUidBase, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';
import { createVmHost, greeting, instanceFile, leftSince, look } from './vm-host.js';

let host: Host;
let client: HostdClient;

beforeAll(async () => {
  host = await createVmHost();
  await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
}, 240_000);
afterAll(() => host.dispose());

async function create(tenant_id: string, instance_id: string): Promise<InstanceAddress> {
  const made = await client.request({ type: 'CreateInstance', tenant_id, pool_id: 'workers', instance_id });
  expect(made.status).toBe('ready');
  return { tenant_id, pool_id: 'workers', instance_id };
}

const describe_ = (
  address: InstanceAddress,
): ReturnType<typeof client.request<{ type: 'DescribeInstance' } & InstanceAddress>> =>
  client.request({ type: 'DescribeInstance', ...address });

test('two tenants’ guests boot, greet and reach their gateways; afterwards nothing is left', async () => {
  const before = await look(host);
  const [a, b] = [await create('acme', 'i-a'), await create('globex', 'i-b')];
  await Promise.all([a, b].map((address) => client.request({ type: 'StartInstance', ...address })));
  const [helloA, helloB] = await Promise.all([greeting(client, a), greeting(client, b)]);
  expect(helloA).toContain('tenant=acme pool=workers instance=i-a address=10.240.3.3/24 gateway=10.240.3.1');
  expect(helloB).toContain(
    'tenant=globex pool=workers instance=i-b address=10.240.4.3/24 gateway=10.240.4.1',
  );
  expect([helloA, helloB].every((text) => text.includes('gateway_ping=ok'))).toBe(true);
  const [infoA, infoB] = [await describe_(a), await describe_(b)];
  expect(infoA).toMatchObject({ status: 'running', runtime: { uid: testUidBase() + 771, vmm: 'qemu' } });
  expect(infoA.runtime?.uid).not.toBe(infoB.runtime?.uid);
  expect(infoA.runtime?.memory_max_bytes).toBeGreaterThan(192 * 1_048_576);
  expect(await client.request({ type: 'HostInfo' })).toMatchObject({ tenants: 2, instances: 2, running: 2 });
  for (const address of [a, b]) {
    await client.request({ type: 'StopInstance', ...address });
    expect(await describe_(address)).toMatchObject({
      status: 'stopped',
      pid: null,
      runtime: null,
      stop_reason: { kind: 'requested' },
    });
  }
  expect(await leftSince(host, before)).toEqual([]);
  for (const address of [a, b]) {
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
    await expect(stat(instanceFile(host, address))).rejects.toThrow('ENOENT');
  }
  const audit = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const operations = audit
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((line) => line.instance_id === 'i-a')
    .map((line) => `${line.operation} ${line.result}`);
  expect(operations).toEqual(['create ok', 'start ok', 'stop ok', 'destroy ok']);
});

test('starting what runs and stopping what is stopped are refused, naming the states, and change nothing', async () => {
  const address = await create('acme', 'i-twice');
  await expect(client.request({ type: 'StopInstance', ...address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
    message: expect.stringMatching(/^stop failed: .*ready.*stopped/),
  });
  await client.request({ type: 'StartInstance', ...address });
  const { pid } = await describe_(address);
  await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'instance.invalid_transition',
    message: expect.stringMatching(/^start failed: .*running/),
  });
  expect((await describe_(address)).pid).toBe(pid);
  await client.request({ type: 'StopInstance', ...address });
  await expect(client.request({ type: 'StopInstance', ...address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});

test('operations on one instance that arrive together run one after the other', async () => {
  const address = await create('acme', 'i-queue');
  const results = await Promise.allSettled([
    client.request({ type: 'StartInstance', ...address }),
    client.request({ type: 'StopInstance', ...address }),
    client.request({ type: 'StartInstance', ...address }),
    client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false }),
  ]);
  expect(results.map((result) => result.status)).toEqual([
    'fulfilled',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ]);
  await expect(describe_(address)).rejects.toMatchObject({ reason: 'instance.not_found' });
});

test('destroying with wipe_volumes overwrites the data before it is unlinked, also while the VM runs', async () => {
  const address = await create('acme', 'i-wipe');
  await client.request({ type: 'StartInstance', ...address });
  const disk = await open(instanceFile(host, address, 'volumes', 'data.ext4'), 'r+');
  try {
    const secret = Buffer.from('a secret of the tenant');
    const at = 20 * 1_048_576;
    await disk.write(secret, 0, secret.length, at);
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: true });
    const { buffer } = await disk.read(Buffer.alloc(secret.length), 0, secret.length, at);
    expect(buffer.includes(secret)).toBe(false);
  } finally {
    await disk.close();
  }
  expect(await readdir(join(host.stateDir, 'tenants/acme/pools/workers/instances'))).not.toContain('i-wipe');
});

test('a VM that is killed from outside is noticed, cleaned up and recorded with its console’s end', async () => {
  const before = await look(host);
  const address = await create('acme', 'i-killed');
  await client.request({ type: 'StartInstance', ...address });
  const hello = await greeting(client, address);
  const { pid } = await describe_(address);
  if (pid === null) throw new Error('a running instance has no pid');
  process.kill(pid, 'SIGKILL');
  const info = await until('stopped', async () => {
    const view = await describe_(address);
    return view.status === 'stopped' && view.operation === null ? view : null;
  });
  expect(info.stop_reason).toMatchObject({ kind: 'exited', signal: 'SIGKILL', exit_code: null });
  expect(info.stop_reason?.console_tail).toContain(hello);
  expect(await leftSince(host, before)).toEqual([]);
  await client.request({ type: 'StartInstance', ...address });
  expect((await describe_(address)).stop_reason).toBeNull();
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});

test('quotas are checked again at every start', async () => {
  await ensureTenantAndPool(client, 'small', 9, { quotas: { max_running: 1 } });
  const [one, two] = [await create('small', 'i-1'), await create('small', 'i-2')];
  const results = await Promise.allSettled([
    client.request({ type: 'StartInstance', ...one }),
    client.request({ type: 'StartInstance', ...two }),
  ]);
  expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(results.find((result) => result.status === 'rejected')).toMatchObject({
    reason: { code: 'resource_exhausted', reason: 'quota.exceeded' },
  });
  for (const address of [one, two]) {
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  }
});

test('a start whose image is missing or of another digest is refused, and leaves nothing', async () => {
  const before = await look(host);
  const pool = { tenant_id: 'acme', pool_id: 'imageless' };
  const made = await client.request({
    type: 'EnsurePool',
    ...pool,
    spec: poolSpec({ flake_ref: 'not-there' }),
  });
  expect(made.image).toBeNull();
  const { instance_id, status } = await client.request({ type: 'CreateInstance', ...pool });
  expect(status).toBe('created');
  await expect(client.request({ type: 'StartInstance', ...pool, instance_id })).rejects.toMatchObject({
    code: 'not_found',
    reason: 'image.not_found',
    hint: expect.stringContaining('mvm image add'),
  });
  const pinned = poolSpec({ flake_ref: `demo@sha256:${'0'.repeat(64)}` });
  await expect(client.request({ type: 'EnsurePool', ...pool, spec: pinned })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'image.digest_mismatch',
  });
  await client.request({ type: 'EnsurePool', ...pool, spec: poolSpec() });
  expect(await describe_({ ...pool, instance_id })).toMatchObject({ status: 'ready' });
  await client.request({ type: 'DestroyInstance', ...pool, instance_id, wipe_volumes: false });
  await client.request({ type: 'RemovePool', ...pool });
  expect(await leftSince(host, before)).toEqual([]);
});

test('an image whose files were changed is refused', async () => {
  const address = await create('acme', 'i-damaged');
  const { image } = await describe_(address);
  const blob = join(host.stateDir, 'images/blobs', image?.digest.slice(7) ?? '', 'manifest.json');
  const manifest = await readFile(blob);
  await writeFile(blob, '{}');
  try {
    await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'image.damaged',
    });
  } finally {
    await writeFile(blob, manifest);
  }
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});

test('a network with running instances is neither taken down nor changed', async () => {
  const address = await create('globex', 'i-net');
  await client.request({ type: 'StartInstance', ...address });
  const net = {
    tenant_net_id: 4,
    ipv4_subnet: '10.240.4.0/24',
    gateway_ip: '10.240.4.1',
    bridge_name: 'br-tenant-4',
  };
  await expect(client.request({ type: 'TeardownNetwork', tenant_id: 'globex', net })).rejects.toMatchObject({
    reason: 'tenant.has_running_instances',
    message: expect.stringMatching(/^teardown network failed: /),
  });
  const other = { ...net, ipv4_subnet: '10.240.7.0/24', gateway_ip: '10.240.7.1' };
  await expect(
    client.request({ type: 'SetupNetwork', tenant_id: 'globex', net: other }),
  ).rejects.toMatchObject({
    reason: 'tenant.net_in_use',
  });
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
