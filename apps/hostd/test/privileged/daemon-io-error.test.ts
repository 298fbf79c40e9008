import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHost, type Host } from '@mvm/testkit/host';
import koffi from 'koffi';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureTenantAndPool, netOf } from '../tenants.js';

// The state directory's disk fails: the kernel answers whatever is asked of its file system with EIO, until it is mounted
// anew. What was not durable by then is lost.

let host: Host;
let disk: string;

beforeEach(async () => {
  host = await createHost();
  disk = join(host.dir, 'disk');
  await writeFile(disk, '');
  await truncate(disk, 128 * 1_048_576);
  execFileSync('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=1,lazy_journal_init=1', disk]);
  await mkdir(host.stateDir, { mode: 0o700 });
  mountState();
});
afterEach(async () => {
  const { stateDir } = host;
  // The daemon still holds its lock file.
  execFileSync('umount', ['--lazy', stateDir]);
  await host.dispose();
});

function mountState(): void {
  execFileSync('mount', ['-t', 'ext4', '-o', 'loop,commit=600', disk, host.stateDir]);
}

/** Let the disk fail at once, losing what the journal has not on disk. Source: FS_IOC_SHUTDOWN of ext4 (linux/fs.h). */
function breakDisk(): void {
  const ioctl = koffi.load('libc.so.6').func('int ioctl(int, unsigned long, void *)');
  const noLogFlush = Buffer.alloc(4);
  noLogFlush.writeUInt32LE(2);
  const directory = openSync(host.stateDir, 'r');
  try {
    expect(ioctl(directory, 0x8004587d, noLogFlush)).toBe(0);
  } finally {
    closeSync(directory);
  }
}

test('a disk that fails is a typed error, hostd stays, and what it answered for is there when it is mended', async () => {
  const daemon = await host.start();
  const client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  const pool = { tenant_id: 'acme', pool_id: 'workers' } as const;
  await client.request({ type: 'CreateInstance', ...pool, instance_id: 'i-before' });
  const { tenants } = await client.request({ type: 'ListTenants' });
  const [acme] = tenants;
  if (acme === undefined) throw new Error('acme is not listed');
  const record = join(host.stateDir, 'tenants/acme/tenant.json');
  const before = await readFile(record, 'utf8');
  breakDisk();
  for (const request of [
    { type: 'EnsureTenant', tenant_id: 'globex', net: netOf(4), quotas: acme.quotas },
    { type: 'CreateInstance', ...pool, instance_id: 'i-new' },
    { type: 'DestroyInstance', ...pool, instance_id: 'i-before', wipe_volumes: false },
  ] as const) {
    await expect(client.request(request), request.type).rejects.toMatchObject({
      code: 'internal',
      reason: 'state.io_error',
      hint: expect.stringContaining('kernel log'),
    });
  }
  expect(await client.request({ type: 'Ping' })).toEqual({ type: 'Pong' });
  expect((await client.request({ type: 'ListTenants' })).tenants).toEqual([acme]);

  expect(await daemon.stop()).toBe('status 0');
  execFileSync('umount', [host.stateDir]);
  mountState();
  await host.start();
  expect(await readFile(record, 'utf8')).toBe(before);
  const { instances } = await client.request({ type: 'ListInstances' });
  expect(instances.map(({ instance_id }) => instance_id)).toEqual(['i-before']);
  expect(await client.request({ type: 'CreateInstance', ...pool, instance_id: 'i-new' })).toMatchObject({
    status: 'created',
  });
});
