/** Many guests of one image: how much memory each takes, and how much of it is shared. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { expect, it } from 'vitest';
import type { InstanceRecord } from '../src/state/records.js';
import { ensureTenantAndPool } from '../test/tenants.js';
import { busyboxLayer, consoleSays, createImportHost, importOwn } from '../test/vm/imported-host.js';
import { instanceFile } from '../test/vm/vm-host.js';
import { quantile, writeReport } from './report.js';

/** MVM_BENCH_GUESTS: how many run at the same time. */
const GUESTS = Number(process.env.MVM_BENCH_GUESTS ?? '20');
const MEM_MIB = 96;
/** What the image has besides its programs, and each guest reads: it must not count once per guest. */
const CONTENT_MIB = 16;
const SETTLE_MS = 3_000;
const ROOMY = { max_running: 1000, max_vcpus: 1000, max_mem_mib: 1_000_000, max_instances_per_pool: 1000 };

interface Memory {
  readonly pss: number;
  readonly own: number;
  readonly rss: number;
}

/** MiB of a process: its share of what is shared, what is its own, and all. Source: proc(5), smaps_rollup. */
async function memoryOf(pid: number): Promise<Memory> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1024;
  return { pss: mib('Pss'), own: mib('Private_Dirty') + mib('Private_Clean'), rss: mib('Rss') };
}

it('runs many guests of one image', async () => {
  const host = await createImportHost();
  try {
    await host.start();
    const client = host.client();
    await importOwn(host, 'app', {
      layers: [busyboxLayer(), [{ name: 'srv/content', data: Buffer.alloc(CONTENT_MIB * 1_048_576, 0x61) }]],
      config: { Cmd: ['/bin/sh', '-c', 'cat /srv/content >/dev/null; echo read it; exec sleep 100000'] },
    });
    await ensureTenantAndPool(client, 'bench', 3, {
      quotas: ROOMY,
      spec: { flake_ref: 'app', instance_resources: { vcpus: 1, mem_mib: MEM_MIB, data_disk_mib: 0 } },
    });
    const addressOf = (number: number) =>
      ({ tenant_id: 'bench', pool_id: 'workers', instance_id: `i-${number}` }) as const;
    const start = async (number: number): Promise<number> => {
      const address = addressOf(number);
      await client.request({ type: 'CreateInstance', ...address });
      await client.request({ type: 'StartInstance', ...address }, { timeoutMs: 120_000 });
      await consoleSays(client, address, /read it/);
      const { vm }: InstanceRecord = JSON.parse(
        await readFile(instanceFile(host, address, 'instance.json'), 'utf8'),
      );
      return vm?.pid ?? Number.NaN;
    };
    const first = await start(0);
    await sleep(SETTLE_MS);
    const alone = await memoryOf(first);
    const limit = pLimit(2);
    const pids = await Promise.all(
      Array.from({ length: GUESTS - 1 }, (_, number) => limit(() => start(number + 1))),
    );
    await sleep(SETTLE_MS);
    const all = await Promise.all([first, ...pids].map(memoryOf));
    expect(all).toHaveLength(GUESTS);
    const of = (key: keyof Memory): number =>
      Number(
        quantile(
          all.map((memory) => memory[key]),
          0.5,
        ).toFixed(1),
      );
    await writeReport('workloads-memory', {
      title: 'Memory of guests',
      method: `${GUESTS} guests of one imported image at the same time, each with ${MEM_MIB} MiB and 1 vCPU under TCG, each having read ${CONTENT_MIB} MiB of the image; medians of what the kernel says of their VMMs (smaps_rollup). The image is one file, opened read-only by all. A guest’s own memory holds its page cache, too.`,
      figures: [
        { name: `one of ${GUESTS} guests, proportional share`, value: of('pss'), unit: 'MiB' },
        { name: 'the same, not shared', value: of('own'), unit: 'MiB' },
        { name: 'the same, with what is shared', value: of('rss'), unit: 'MiB' },
        { name: 'a guest alone, proportional share', value: Number(alone.pss.toFixed(1)), unit: 'MiB' },
        {
          name: 'all guests against as many that run alone',
          value: Number((all.reduce((sum, { pss }) => sum + pss, 0) / (alone.pss * GUESTS)).toFixed(3)),
          unit: '×',
          target: { max: 1 },
        },
      ],
    });
  } finally {
    await host.dispose();
  }
});
