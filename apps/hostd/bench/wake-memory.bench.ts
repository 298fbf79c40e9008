/** Sleep and wake by the size of a guest's memory: through hostd, which maps it, and by a script that streams it. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PoolSpec } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import { it } from 'vitest';
import { createCgroups } from '../src/cgroup/cgroups.js';
import { cgroupLimits } from '../src/cgroup/limits.js';
import type { InstanceRecord } from '../src/state/records.js';
import { createQemuVmm } from '../src/vmm/qemu/driver.js';
import { ensureTenantAndPool, poolSpec } from '../test/tenants.js';
import { type Guest, guestBehind, guestOf } from '../test/vm/guest.js';
import { createVmHost, greeting, instanceFile } from '../test/vm/vm-host.js';
import { createBaselineVm } from './baseline.js';
import { type Figure, msFigures, ratioFigures, writeReport } from './report.js';
import { StageLog } from './stages.js';
import { warmMemory } from './warm-memory.js';

/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '5');
const FILL_MIB = 600;
const RESOURCES = { vcpus: 1, data_disk_mib: 32 };
const [SMALL_MIB, LARGE_MIB] = [256, 1024];
const small = { tenant_id: 'bench', pool_id: 'small', instance_id: 'i-small' };
const large = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-large' };

interface Times {
  readonly sleep: number[];
  readonly runs: number[];
  readonly told: number[];
}

const noTimes = (): Times => ({ sleep: [], runs: [], told: [] });

/** Random numbers in files in memory: copies, for a guest that is emulated takes minutes to draw so many. */
async function fill(guest: Guest, mib: number): Promise<void> {
  if (mib === 0) return;
  await guest.output(
    `mkdir -p /run/fill; mount -t tmpfs -o size=${mib + 40}m tmpfs /run/fill; cd /run/fill
     head -c ${20 * 2 ** 20} /dev/urandom >a; i=0
     while [ $i -lt ${mib / 20 - 1} ]; do i=$((i + 1)); cp a b$i; done`,
    600,
  );
}

it('wakes a guest in the time of its devices', { timeout: 3_600_000 }, async () => {
  const host = await createVmHost('test');
  try {
    const daemon = await host.start();
    const client = host.client();
    const resources = (mem_mib: number): Pick<PoolSpec, 'instance_resources'> => ({
      instance_resources: { ...RESOURCES, mem_mib },
    });
    await ensureTenantAndPool(client, 'bench', 3, { spec: resources(LARGE_MIB) });
    const spec = poolSpec(resources(SMALL_MIB));
    await client.request({ type: 'EnsurePool', tenant_id: 'bench', pool_id: 'small', spec });
    for (const address of [small, large]) {
      await client.request({ type: 'CreateInstance', ...address });
      await client.request({ type: 'StartInstance', ...address });
      await greeting(client, address);
    }
    const { vm }: InstanceRecord = JSON.parse(
      await readFile(instanceFile(host, large, 'instance.json'), 'utf8'),
    );
    if (vm == null) throw new Error('the record does not say how the VM was launched');
    await fill(guestOf(host, vm.spec.vmId), FILL_MIB);
    const cgroups = await createCgroups({ parent: host.cgroupParent });
    const limits = cgroupLimits(
      { ...RESOURCES, mem_mib: LARGE_MIB },
      createQemuVmm().memoryOverheadMib(vm.spec),
    );
    await cgroups.create('baseline', limits);
    const dir = join(host.dir, 'hand');
    await mkdir(dir);
    const hand = await createBaselineVm(vm, { dir, cgroups });
    try {
      await hand.boot();
      await until(
        'greeting',
        async () => (await readFile(hand.consolePath, 'utf8').catch(() => '')).includes('mvm-guest ready '),
        120_000,
      );
      await fill(guestBehind(join(dir, 'run', 'agent.sock'), 'baseline'), FILL_MIB);
      const stages = new StageLog();
      const [ofSmall, ofLarge, stream] = [noTimes(), noTimes(), noTimes()];
      const sleep = async (address: typeof small, warmMib: number): Promise<number> => {
        warmMemory(warmMib);
        const began = performance.now();
        await client.request({ type: 'SleepInstance', ...address, force: true }, { timeoutMs: 120_000 });
        return performance.now() - began;
      };
      const wake = async (
        address: typeof small,
        warmMib: number,
      ): Promise<{ runs: number; told: number }> => {
        warmMemory(warmMib);
        const beganAt = Date.now();
        const began = performance.now();
        await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 120_000 });
        const told = performance.now() - began;
        stages.read(daemon.logs());
        return { runs: stages.lastAt('wake', 'vm.resume') - beganAt, told };
      };
      // The first round only warms up.
      for (let round = -1; round < ROUNDS; round += 1) {
        const slept = [
          await sleep(large, LARGE_MIB + 64),
          await hand.sleep(LARGE_MIB + 64),
          await sleep(small, SMALL_MIB + 64),
        ] as const;
        const wokeLarge = await wake(large, LARGE_MIB + 64);
        const wokeHand = await hand.wake(LARGE_MIB + 64);
        const wokeSmall = await wake(small, SMALL_MIB + 64);
        if (round < 0) continue;
        const woke = [wokeLarge, { runs: wokeHand.runsMs, told: wokeHand.toldMs }, wokeSmall] as const;
        for (const [index, times] of [ofLarge, stream, ofSmall].entries()) {
          times.sleep.push(slept[index] ?? Number.NaN);
          times.runs.push(woke[index]?.runs ?? Number.NaN);
          times.told.push(woke[index]?.told ?? Number.NaN);
        }
      }
      const figures: Figure[] = [
        ...ratioFigures(
          'Wake until the guest runs, 1 GiB, mapped against streamed',
          ofLarge.runs,
          stream.runs,
          {
            max: 0.15,
          },
        ),
        ...ratioFigures(
          'Wake until the guest runs, mapped, 1 GiB against 256 MiB',
          ofLarge.runs,
          ofSmall.runs,
          {
            max: 1.3,
          },
        ),
        ...ratioFigures('Sleep, 1 GiB, mapped against streamed', ofLarge.sleep, stream.sleep, { max: 0.5 }),
      ];
      for (const [name, times] of [
        ['256 MiB, mapped', ofSmall],
        ['1 GiB, mapped', ofLarge],
        ['1 GiB, streamed', stream],
      ] as const) {
        figures.push(
          ...msFigures(`${name}: sleep`, times.sleep),
          ...msFigures(`${name}: wake until it runs`, times.runs),
          ...msFigures(`${name}: wake until the answer`, times.told),
        );
      }
      await writeReport('wake-memory', {
        title: 'Sleep and wake by the size of memory',
        method: `${ROUNDS} interleaved rounds: SleepInstance (without drain) and WakeInstance over the socket, uncompressed, where the memory is a file that QEMU maps, of an idle guest of 256 MiB and of one of 1 GiB with ${FILL_MIB} MiB of random numbers; and a script without hostd that streams the memory of another one of 1 GiB through a Unix socket into a file and back, as hostd did before. The answer of a wake comes once the memory is read and checked. Each turn begins right after more memory than the guest has was touched and freed. 1 vCPU, TCG.`,
        figures,
      });
    } finally {
      await hand.end().catch(() => {});
      await cgroups.remove('baseline');
    }
  } finally {
    await host.dispose();
  }
});
