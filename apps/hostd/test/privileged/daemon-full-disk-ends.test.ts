import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imagesDir, removeImage } from '@mvm/image-store';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, expect, test } from 'vitest';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';
import { ensureTenantAndPool } from '../tenants.js';

let host: Host;
let hostd: InProcessHostd;

afterEach(async () => {
  await hostd?.close();
  execFileSync('umount', ['--lazy', host.stateDir]);
  await host.dispose();
});

async function mountExt4(): Promise<void> {
  const image = join(host.dir, 'disk');
  await writeFile(image, '');
  execFileSync('mkfs.ext4', ['-q', '-b', '4096', '-N', '512', image, '24M']);
  execFileSync('mount', ['-o', 'loop', image, host.stateDir]);
  execFileSync('chmod', ['0700', host.stateDir]);
}

/** Takes every block that is left, in ever smaller pieces; root's own too. */
function fillBlocks(): void {
  const fd = openSync(join(host.stateDir, 'filler'), 'a');
  for (const size of [65_536, 4_096, 512, 1]) {
    try {
      for (;;) writeSync(fd, Buffer.alloc(size, 1));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
  }
  closeSync(fd);
}

function takeInodes(): void {
  for (let count = 0; ; count += 1) {
    try {
      closeSync(openSync(join(host.stateDir, `filler-${count}`), 'w'));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
      return;
    }
  }
}

const address = { tenant_id: 'acme', pool_id: 'workers' };
const noSpace = { code: 'resource_exhausted' };

test.each([
  ['space', fillBlocks],
  ['inodes', takeInodes],
])('full disk: without %s, what ends VMs and frees space works', async (_, fill) => {
  host = await createHost();
  await mkdir(host.stateDir, { mode: 0o700 });
  await mountExt4();
  hostd = await startInProcess(host);
  const client = host.client();
  await hostd.registerImage('demo');
  await hostd.registerImage('spare');
  await ensureTenantAndPool(client, 'acme', 3);
  const ids = ['i-a', 'i-b', 'i-c', 'i-e', 'i-d'];
  for (const instance_id of ids) await client.request({ type: 'CreateInstance', ...address, instance_id });
  for (const instance_id of ids.slice(0, 4))
    await client.request({ type: 'StartInstance', ...address, instance_id });
  fill();

  // What needs space is refused, with everything as it was, and with its own reason.
  await expect(
    client.request({ type: 'SleepInstance', ...address, instance_id: 'i-a', force: true }),
  ).rejects.toMatchObject(noSpace);
  await expect(
    client.request({ type: 'StartInstance', ...address, instance_id: 'i-d' }),
  ).rejects.toMatchObject(noSpace);
  expect(await client.request({ type: 'DescribeInstance', ...address, instance_id: 'i-a' })).toMatchObject({
    status: 'running',
  });

  // What frees it works.
  await client.request({ type: 'StopInstance', ...address, instance_id: 'i-a', force: true });
  await client.request({ type: 'DestroyInstance', ...address, instance_id: 'i-b', wipe_volumes: false });
  await client.request({ type: 'StopInstance', ...address, instance_id: 'i-c', force: true });
  // A hostd that starts on a full disk goes on.
  await hostd.close();
  hostd = await startInProcess(host);
  await client.request({ type: 'StopInstance', ...address, instance_id: 'i-e', force: true });
  await client.request({ type: 'DestroyInstance', ...address, instance_id: 'i-c', wipe_volumes: false });
  expect((await removeImage(imagesDir(host.stateDir), 'spare')).name).toBe('spare');
  const { instances } = await client.request({ type: 'ListInstances' });
  expect(instances.map(({ instance_id, status }) => `${instance_id} ${status}`)).toEqual([
    'i-a stopped',
    expect.stringMatching(/^i-d (created|ready)$/),
    'i-e stopped',
  ]);
  const log = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  expect(log.match(/"operation":"(stop|destroy)"/g)).toHaveLength(5);
  const { reports } = await client.request({ type: 'VerifyAudit', tenant_id: 'acme' });
  expect(reports.map(({ problem_count }) => problem_count)).toEqual([0]);
});
