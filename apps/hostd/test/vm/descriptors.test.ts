import { readdir, readlink, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@mvm/testkit';
import { expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';
import { createVmHost, greeting, instanceFile } from './vm-host.js';

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-again' };

/** What a process holds open, sorted, by kind: files by their path, sockets and pipes without their numbers. */
async function descriptors(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const links = (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => 'closed'));
  return (await Promise.all(links)).map((link) => link.replace(/:\[\d+\]$/, '')).sort();
}

/** The same, once nothing is being closed or made ready for the next request any more. */
async function settled(pid: number): Promise<string[]> {
  const looks: string[] = [];
  await until('the same thrice', async () => {
    await sleep(300);
    looks.push(JSON.stringify(await descriptors(pid)));
    return looks.length >= 3 && new Set(looks.slice(-3)).size === 1;
  });
  return JSON.parse(looks.at(-1) as string);
}

test('hostd holds nothing open of what it did before', async () => {
  const host = await createVmHost();
  try {
    const daemon = await host.start();
    const client = host.client();
    await ensureTenantAndPool(client, 'acme', 3);
    await client.request({ type: 'CreateInstance', ...address });
    const { tenant_id, pool_id } = address;
    const round = async (): Promise<void> => {
      await client.request({ type: 'StartInstance', ...address });
      await greeting(client, address);
      for (const snapshot_compression of ['none', 'lz4'] as const) {
        const spec = poolSpec({ snapshot_compression });
        await client.request({ type: 'EnsurePool', tenant_id, pool_id, spec });
        await client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 60_000 });
        const memory = instanceFile(host, address, 'snapshots', 'delta', 'memory');
        await rename(memory, `${memory}.away`);
        await expect(client.request({ type: 'WakeInstance', ...address })).rejects.toMatchObject({
          reason: 'snapshot.damaged',
        });
        await rename(`${memory}.away`, memory);
        await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
        // The VMM holds nothing but the memory that it maps; what was streamed is gone, and its space is free again.
        const { pid } = await client.request({ type: 'DescribeInstance', ...address });
        const held = (await descriptors(pid ?? 0)).filter((path) => path.includes('/snapshots/'));
        const mapped = snapshot_compression === 'none' ? [`${dirname(memory)}.used/memory (deleted)`] : [];
        expect([...new Set(held)]).toEqual(mapped);
      }
      await client.request({ type: 'WarmInstance', ...address });
      await client.request({ type: 'ResumeInstance', ...address });
      await client.request({ type: 'StopInstance', ...address });
    };
    // What is opened once and kept, for the next requests.
    await round();
    const before = await settled(daemon.pid);
    await round();
    await round();
    expect(await settled(daemon.pid)).toEqual(before);
  } finally {
    await host.dispose();
  }
});
