/**
 * Sleep and wake through hostd, against a script that does the same with a bare QEMU; size and time per compression; and
 * hostd's own share of every operation.
 */

import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { expect, it } from 'vitest';
import { createCgroups } from '../src/cgroup/cgroups.js';
import { cgroupLimits } from '../src/cgroup/limits.js';
import type { InstanceRecord } from '../src/state/records.js';
import { createQemuVmm } from '../src/vmm/qemu/driver.js';
import { ensureTenantAndPool, poolSpec } from '../test/tenants.js';
import { createVmHost, greeting, instanceFile } from '../test/vm/vm-host.js';
import { createBaselineVm } from './baseline.js';
import { type Figure, msFigures, quantile, ratioFigures, writeReport } from './report.js';
import { StageLog } from './stages.js';
import { warmMemory } from './warm-memory.js';

/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '12');
const ROUNDS_PER_COMPRESSION = 4;
const QUICK_ROUNDS = 10;
const RESOURCES = { vcpus: 1, mem_mib: 256, data_disk_mib: 32 };
const address = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-bench' };
const MIB = 1_048_576;

it('puts an instance to sleep and wakes it', async () => {
  const host = await createVmHost();
  const keysDir = join(host.dir, 'keys');
  await mkdir(keysDir, { mode: 0o700 });
  try {
    const daemon = await host.start({ args: ['--tenant-keys-dir', keysDir] });
    const client = host.client();
    const setCompression = async (snapshot_compression: 'none' | 'lz4' | 'zstd'): Promise<void> => {
      const spec = poolSpec({ instance_resources: RESOURCES, snapshot_compression });
      await client.request({ type: 'EnsurePool', tenant_id: 'bench', pool_id: 'workers', spec });
    };
    await ensureTenantAndPool(client, 'bench', 3, { spec: { instance_resources: RESOURCES } });
    await client.request({ type: 'CreateInstance', ...address });
    await client.request({ type: 'StartInstance', ...address });
    await greeting(client, address);
    const recordPath = instanceFile(host, address, 'instance.json');
    const { vm }: InstanceRecord = JSON.parse(await readFile(recordPath, 'utf8'));
    if (vm == null) throw new Error('the record does not say how the VM was launched');
    const cgroups = await createCgroups({ parent: host.cgroupParent });
    await cgroups.create('baseline', cgroupLimits(RESOURCES, createQemuVmm().memoryOverheadMib(vm.spec)));
    const handDir = join(host.dir, 'hand');
    await mkdir(handDir);
    const hand = await createBaselineVm(vm, { dir: handDir, cgroups });
    try {
      await hand.boot();
      await until(
        'greeting',
        async () => (await readFile(hand.consolePath, 'utf8').catch(() => '')).includes('mvm-guest ready '),
        120_000,
      );

      const stages = new StageLog();
      const timed = async (request: Parameters<typeof client.request>[0]): Promise<number> => {
        const began = performance.now();
        await client.request(request, { timeoutMs: 120_000 });
        return performance.now() - began;
      };
      const sleep = (): Promise<number> => {
        warmMemory();
        return timed({ type: 'SleepInstance', ...address, force: true });
      };
      /** Milliseconds until the guest runs, and until the answer. */
      const wake = async (): Promise<{ runsMs: number; toldMs: number }> => {
        warmMemory();
        const beganAt = Date.now();
        const toldMs = await timed({ type: 'WakeInstance', ...address });
        stages.read(daemon.logs());
        return { runsMs: stages.lastAt('wake', 'vm.resume') - beganAt, toldMs };
      };

      const hostd = { sleep: [] as number[], runs: [] as number[], told: [] as number[] };
      const bare = { sleep: [] as number[], runs: [] as number[], told: [] as number[] };
      let savedBytes = 0;
      // The first round only warms up.
      for (let round = -1; round < ROUNDS; round += 1) {
        const [ours, theirs] = [await sleep(), await hand.sleep()];
        savedBytes = await hand.savedBytes();
        const [ourWake, theirWake] = [await wake(), await hand.wake()];
        if (round < 0) {
          stages.forget();
          continue;
        }
        hostd.sleep.push(ours);
        bare.sleep.push(theirs);
        hostd.runs.push(ourWake.runsMs);
        bare.runs.push(theirWake.runsMs);
        hostd.told.push(ourWake.toldMs);
        bare.told.push(theirWake.toldMs);
      }
      const figures: Figure[] = [
        ...ratioFigures('Sleep, hostd against by hand', hostd.sleep, bare.sleep, { max: 1.2 }),
        ...ratioFigures('Wake until the guest runs, hostd against by hand', hostd.runs, bare.runs, {
          max: 1.2,
        }),
        ...ratioFigures('Wake until the agent has answered, hostd against by hand', hostd.told, bare.told, {
          max: 1.2,
        }),
        ...msFigures('sleep through hostd', hostd.sleep),
        ...msFigures('sleep by hand', bare.sleep),
        ...msFigures('wake through hostd, until it runs', hostd.runs),
        ...msFigures('wake by hand, until it runs', bare.runs),
        ...msFigures('wake through hostd, whole', hostd.told),
        ...msFigures('wake by hand, whole', bare.told),
        { name: 'state of the guest, by hand', value: Number((savedBytes / MIB).toFixed(1)), unit: 'MiB' },
      ];
      expect(hostd.told).toHaveLength(ROUNDS);
      await hand.end();
      await writeReport('suspend', {
        title: 'Sleep and wake of an instance',
        method: `${ROUNDS} interleaved rounds: SleepInstance (without drain) and WakeInstance over the socket; and a script that pauses the same QEMU, saves it through a Unix socket into a file, fsyncs file and data disk and ends it, then restores it, lets it run, and tells its agent the time, as hostd does. Each turn begins right after as much memory was touched and freed. An idle guest that has booted, 1 vCPU, ${RESOURCES.mem_mib} MiB, TCG, uncompressed.`,
        figures,
      });

      const compressions: Figure[] = [];
      for (const [compression, sealed] of [
        ['none', false],
        ['lz4', false],
        ['zstd', false],
        ['none', true],
        ['lz4', true],
        ['zstd', true],
      ] as const) {
        if (sealed) await writeFile(join(keysDir, 'bench.key'), '5a'.repeat(32), { mode: 0o600 });
        await setCompression(compression);
        const [sleeps, wakes]: [number[], number[]] = [[], []];
        let bytes = 0;
        for (let round = 0; round < ROUNDS_PER_COMPRESSION; round += 1) {
          sleeps.push(await sleep());
          const delta = instanceFile(host, address, 'snapshots', 'delta');
          const manifest = JSON.parse(await readFile(join(delta, 'meta.json'), 'utf8'));
          expect(manifest.parts.at(-1)).toMatchObject({ name: 'memory', compression, sealed });
          bytes = 0;
          for (const name of await readdir(delta)) bytes += (await stat(join(delta, name))).blocks * 512;
          wakes.push((await wake()).runsMs);
        }
        const name = `${compression}${sealed ? ', sealed' : ''}`;
        compressions.push(
          { name: `${name}: size`, value: Number((bytes / MIB).toFixed(1)), unit: 'MiB' },
          { name: `${name}: sleep`, value: Number(quantile(sleeps, 0.5).toFixed(0)), unit: 'ms' },
          { name: `${name}: wake until it runs`, value: Number(quantile(wakes, 0.5).toFixed(0)), unit: 'ms' },
        );
      }
      await writeReport('suspend-compression', {
        title: 'Snapshots by compression',
        method: `An idle guest of ${RESOURCES.mem_mib} MiB; medians of ${ROUNDS_PER_COMPRESSION}. The size is what the files take on the disk; an uncompressed one that is not sealed is mapped at the wake, the others are streamed.`,
        figures: compressions,
      });

      await client.request({ type: 'StopInstance', ...address });
      for (let round = 0; round < QUICK_ROUNDS; round += 1) {
        for (const type of ['StartInstance', 'WarmInstance', 'ResumeInstance', 'StopInstance'] as const) {
          await client.request({ type, ...address });
        }
        const other = { ...address, instance_id: `i-brief-${round}` };
        await client.request({ type: 'CreateInstance', ...other });
        await client.request({ type: 'StartInstance', ...other });
        await client.request({ type: 'DestroyInstance', ...other, wipe_volumes: false });
        stages.read(daemon.logs());
      }
      await writeReport('operations', {
        title: 'hostd’s own share of each operation',
        method: `The steps of a plan, out of hostd’s debug log: sleep and wake of a guest of ${RESOURCES.mem_mib} MiB in the rounds above (uncompressed and compressed), the others ${QUICK_ROUNDS} times each on a guest that has just been launched. What is waited for is QEMU’s launch, restore and end, its control socket, and the guest’s agent; a sleep’s snapshot.write is QEMU’s sending as well as our hashing, writing and fsync.`,
        figures: ['sleep', 'wake', 'warm', 'resume', 'stop', 'destroy'].flatMap((operation) =>
          stages.figures(operation),
        ),
      });
    } finally {
      await hand.end().catch(() => {});
      await cgroups.remove('baseline');
    }
  } finally {
    await host.dispose();
  }
});
