/** A hostd that is restarted among many instances: how long until it serves, and how much memory it takes. */

import { readFile } from 'node:fs/promises';
import { until } from '@mvm/testkit';
import pLimit from 'p-limit';
import { expect, it } from 'vitest';
import { ensureTenantAndPool } from '../test/tenants.js';
import { createVmHost } from '../test/vm/vm-host.js';
import { msFigures, quantile, writeReport } from './report.js';

/** MVM_BENCH_VMS: how many VMs are adopted. */
const VMS = Number(process.env.MVM_BENCH_VMS ?? '50');
const INSTANCES = Math.max(200, VMS);
const RESTARTS = 5;
const RESOURCES = { vcpus: 1, mem_mib: 64, data_disk_mib: 0 };
const ROOMY = {
  max_running: 1000,
  max_vcpus: 1000,
  max_mem_mib: 1_000_000,
  max_warm: 1000,
  max_instances_per_pool: 1000,
};

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

it('serves again after a restart', async () => {
  const host = await createVmHost();
  try {
    let daemon = await host.start();
    const client = host.client();
    const startedMs = async (): Promise<number> => {
      await daemon.stop();
      const began = performance.now();
      daemon = await host.start();
      await client.request({ type: 'Ping' });
      return performance.now() - began;
    };
    await ensureTenantAndPool(client, 'bench', 3, { quotas: ROOMY, spec: { instance_resources: RESOURCES } });
    const empty: number[] = [];
    for (let round = 0; round < RESTARTS; round += 1) empty.push(await startedMs());
    const emptyMib = await residentMib(daemon.pid);

    const limit = pLimit(2);
    const addressOf = (number: number) =>
      ({ tenant_id: 'bench', pool_id: 'workers', instance_id: `i-${number}` }) as const;
    await Promise.all(
      Array.from({ length: INSTANCES }, (_, number) =>
        limit(async () => {
          await client.request({ type: 'CreateInstance', ...addressOf(number) });
          if (number >= VMS) return;
          // Paused at once, so that they cost neither CPU nor much memory.
          await client.request({ type: 'StartInstance', ...addressOf(number) }, { timeoutMs: 120_000 });
          await client.request({ type: 'WarmInstance', ...addressOf(number) });
        }),
      ),
    );
    const full: number[] = [];
    const recoveries: number[] = [];
    for (let round = 0; round < RESTARTS; round += 1) {
      full.push(await startedMs());
      const summary = await until('the summary of the recovery', () =>
        daemon
          .logs()
          .split('\n')
          .find((line) => line.includes('host is in line with the records')),
      );
      const { adopted, lost, failed, ms } = JSON.parse(summary);
      expect({ adopted, lost, failed }).toEqual({ adopted: VMS, lost: 0, failed: 0 });
      if (typeof ms === 'number') recoveries.push(ms);
    }
    const perVm = (quantile(full, 0.5) - quantile(empty, 0.5)) / VMS;
    for (let round = 0; round < 20; round += 1) {
      const { instances } = await client.request({ type: 'ListInstances' });
      expect(instances).toHaveLength(INSTANCES);
    }
    const fullMib = await residentMib(daemon.pid);
    await writeReport('fleet', {
      title: 'Restart of hostd among many instances',
      method: `${VMS} VMs of ${RESOURCES.mem_mib} MiB, paused, and ${INSTANCES - VMS} instances that do not run; ${RESTARTS} restarts each, from the spawn of hostd until it answers Ping. Memory is VmRSS after 20 ListInstances.`,
      figures: [
        ...msFigures('serving again, no instances', empty, 0),
        ...msFigures(`serving again, ${VMS} VMs adopted`, full, 0),
        { name: 'for each VM', value: Number(perVm.toFixed(2)), unit: 'ms' },
        { name: 'memory of hostd, no instances', value: Number(emptyMib.toFixed(1)), unit: 'MiB' },
        {
          name: `memory of hostd, ${INSTANCES} instances, ${VMS} of them with a VM`,
          value: Number(fullMib.toFixed(1)),
          unit: 'MiB',
        },
      ],
    });
    expect(recoveries.length === 0 || recoveries.length === RESTARTS).toBe(true);
  } finally {
    await host.dispose();
  }
});
