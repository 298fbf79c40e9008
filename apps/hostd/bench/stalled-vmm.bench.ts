/** What VMMs that hang cost the other callers of hostd: the same requests, with eight VMMs stopped and with none. */
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@mvm/testkit';
import { expect, it } from 'vitest';
import { ensureTenantAndPool } from '../test/tenants.js';
import { createVmHost } from '../test/vm/vm-host.js';
import { msFigures, quantile, ratioFigures, writeReport } from './report.js';

/** The default of max_parallel_operations. */
const STALLED = 8;
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '6');
const READS = 40;
const QUOTAS = {
  max_running: 20,
  max_vcpus: 20,
  max_mem_mib: 4096,
  max_warm: 20,
  max_instances_per_pool: 20,
};
const RESOURCES = { vcpus: 1, mem_mib: 160, data_disk_mib: 0 };

it('serves others while VMMs hang', async () => {
  const host = await createVmHost();
  try {
    let daemon = await host.start();
    const hostile = host.client();
    const other = host.client();
    await ensureTenantAndPool(other, 'hostile', 3, {
      quotas: QUOTAS,
      spec: { instance_resources: RESOURCES },
    });
    await ensureTenantAndPool(other, 'other', 4, { quotas: QUOTAS, spec: { instance_resources: RESOURCES } });
    const own = { tenant_id: 'other', pool_id: 'workers', instance_id: 'i-own' } as const;
    const stalled = Array.from({ length: STALLED }, (_, number) => ({
      tenant_id: 'hostile',
      pool_id: 'workers',
      instance_id: `i-${number}`,
    }));
    const pids: number[] = [];
    for (const address of [own, ...stalled]) {
      await other.request({ type: 'CreateInstance', ...address });
      await other.request({ type: 'StartInstance', ...address }, { timeoutMs: 120_000 });
      // Paused, so that their guests take no CPU from what is measured.
      await other.request({ type: 'WarmInstance', ...address });
    }
    for (const address of stalled) {
      const { pid } = await other.request({ type: 'DescribeInstance', ...address });
      if (pid === null) throw new Error(`${address.instance_id} has no VMM`);
      pids.push(pid);
    }

    const reads = async (): Promise<number> => {
      const list: number[] = [];
      for (let n = 0; n < READS; n += 1) {
        const began = performance.now();
        await other.request({ type: 'DescribeInstance', ...own });
        list.push(performance.now() - began);
      }
      return quantile(list, 0.5);
    };
    /** An operation in which the VMM takes part. */
    const operations = async (): Promise<number> => {
      const began = performance.now();
      await other.request({ type: 'ResumeInstance', ...own });
      await other.request({ type: 'WarmInstance', ...own });
      return performance.now() - began;
    };
    const restart = async (): Promise<number> => {
      await daemon.stop();
      const began = performance.now();
      daemon = await host.start();
      await other.request({ type: 'Ping' });
      return performance.now() - began;
    };
    const idle = (): Promise<unknown> =>
      until('nothing is under way', async () => {
        const { instances } = await other.request({ type: 'ListInstances' });
        return instances.every(({ operation }) => operation === null) || null;
      });

    const quiet = { reads: [] as number[], operations: [] as number[], restart: [] as number[] };
    const beside = { reads: [] as number[], operations: [] as number[], restart: [] as number[] };
    for (let round = -1; round < ROUNDS; round += 1) {
      const measured = { reads: await reads(), operations: await operations(), restart: await restart() };
      await idle();
      for (const pid of pids) process.kill(pid, 'SIGSTOP');
      // Each waits for a VMM that does not answer.
      const waiting = stalled.map((address) =>
        hostile.request({ type: 'ResumeInstance', ...address }, { timeoutMs: 120_000 }).catch(() => {}),
      );
      // They have been asked, and hostd waits.
      await sleep(3_000);
      try {
        const now = { reads: await reads(), operations: await operations(), restart: await restart() };
        if (round < 0) continue;
        for (const key of ['reads', 'operations', 'restart'] as const) {
          quiet[key].push(measured[key]);
          beside[key].push(now[key]);
        }
      } finally {
        for (const pid of pids) process.kill(pid, 'SIGCONT');
        await Promise.all(waiting);
        await idle();
        const { instances } = await other.request({ type: 'ListInstances' });
        for (const { tenant_id, pool_id, instance_id, status } of instances) {
          if (status !== 'running') continue;
          await other.request({ type: 'WarmInstance', tenant_id, pool_id, instance_id });
        }
      }
    }
    await writeReport('stalled-vmm', {
      title: 'Callers beside VMMs that hang',
      method: `${ROUNDS} rounds, each without and with ${STALLED} stopped VMMs (SIGSTOP) of another tenant that a request waits for: the median of ${READS} DescribeInstance; resume and pause of a VM; restart of hostd until it answers Ping.`,
      figures: [
        ...ratioFigures('DescribeInstance beside them', beside.reads, quiet.reads, { max: 2 }),
        ...ratioFigures('resume and pause beside them', beside.operations, quiet.operations, { max: 2 }),
        ...ratioFigures('restart until Ping beside them', beside.restart, quiet.restart, { max: 2 }),
        ...msFigures('DescribeInstance, none', quiet.reads, 2),
        ...msFigures('DescribeInstance, beside them', beside.reads, 2),
        ...msFigures('resume and pause, none', quiet.operations),
        ...msFigures('resume and pause, beside them', beside.operations),
        ...msFigures('restart until Ping, none', quiet.restart, 0),
        ...msFigures('restart until Ping, beside them', beside.restart, 0),
      ],
    });
    expect(beside.reads).toHaveLength(ROUNDS);
  } finally {
    await host.dispose();
  }
});
