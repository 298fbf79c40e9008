import { execFileSync } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureTenantAndPool, netOf } from '../tenants.js';

let host: Host;

beforeEach(async () => {
  host = await createHost();
  await mkdir(host.stateDir, { mode: 0o700 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'mvmh', host.stateDir]);
});
afterEach(async () => {
  const { stateDir } = host;
  // The daemon first: it holds its lock file.
  execFileSync('umount', ['--lazy', stateDir]);
  await host.dispose();
});

/** Take all the space that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (;;) await file.appendFile(Buffer.alloc(4096));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  } finally {
    await file.close();
  }
}

test('without space every change is refused, what was recorded stays, and with space it works again', async () => {
  await host.start();
  const client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  const record = join(host.stateDir, 'tenants/acme/tenant.json');
  const before = await readFile(record, 'utf8');
  const tree = await readdir(host.stateDir, { recursive: true });
  const filler = join(host.dir, 's', 'filler');
  await fill(filler);
  const quotas = {
    max_vcpus: 1,
    max_mem_mib: 1,
    max_running: 1,
    max_warm: 1,
    max_pools: 1,
    max_instances_per_pool: 1,
    max_disk_gib: 1,
  };
  for (const request of [
    { type: 'EnsureTenant', tenant_id: 'acme', net: netOf(3), quotas },
    { type: 'EnsureTenant', tenant_id: 'globex', net: netOf(4), quotas },
    { type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers' },
  ] as const) {
    await expect(client.request(request)).rejects.toMatchObject({
      code: 'resource_exhausted',
      reason: 'state.no_space',
      hint: expect.any(String),
    });
  }
  expect(await readFile(record, 'utf8')).toBe(before);
  await rm(filler);
  const left = (await readdir(host.stateDir, { recursive: true })).filter(
    (path) => !/i-[0-9a-f]{8}|globex/.test(path),
  );
  expect(left.sort()).toEqual(tree.sort());
  expect((await client.request({ type: 'ListTenants' })).tenants.map(({ tenant_id }) => tenant_id)).toEqual([
    'acme',
  ]);
  expect((await client.request({ type: 'ListInstances' })).instances).toEqual([]);
  expect(
    await client.request({ type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers' }),
  ).toMatchObject({
    status: 'created',
    net: { tap_dev: 'tn3i3' },
  });
});
