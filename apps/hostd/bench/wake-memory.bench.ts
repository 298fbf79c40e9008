/** Sleep and wake by the size of a guest's memory: through hostd, which maps it, and by a script that streams it. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { it } from 'vitest';
import { createCgroups } from '../src/cgroup/cgroups.js';
import { cgroupLimits } from '../src/cgroup/limits.js';
import type { InstanceRecord } from '../src/state/records.js';
import { createQemuVmm } from '../src/vmm/qemu/driver.js';
import { ensureTenantAndPool } from '../test/tenants.js';
import { type Guest, guestBehind, guestOf } from '../test/vm/guest.js';
import { createVmHost, greeting, instanceFile } from '../test/vm/vm-host.js';
import { createBaselineVm } from './baseline.js';
import { type Figure, msFigures, ratioFigures, writeReport } from './report.js';
import { StageLog } from './stages.js';
import { warmMemory } from './warm-memory.js';

/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '5');
const address = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-bench' };
const GUESTS = [
  { name: '256 MiB, idle', memMib: 256, fillMib: 0 },
  { name: '1 GiB, 600 MiB random', memMib: 1024, fillMib: 600 },
] as const;

interface Times {
  readonly sleep: number[];
  readonly runs: number[];
  readonly told: number[];
}

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

async function measure({
  memMib,
  fillMib,
}: (typeof GUESTS)[number]): Promise<{ readonly hostd: Times; readonly stream: Times }> {
  const resources = { vcpus: 1, mem_mib: memMib, data_disk_mib: 32 };
  const host = await createVmHost('test');
  try {
    const daemon = await host.start();
    const client = host.client();
    await ensureTenantAndPool(client, 'bench', 3, { spec: { instance_resources: resources } });
    await client.request({ type: 'CreateInstance', ...address });
    await client.request({ type: 'StartInstance', ...address });
    await greeting(client, address);
    const { vm }: InstanceRecord = JSON.parse(
      await readFile(instanceFile(host, address, 'instance.json'), 'utf8'),
    );
    if (vm == null) throw new Error('the record does not say how the VM was launched');
    await fill(guestOf(host, vm.spec.vmId), fillMib);
    const cgroups = await createCgroups({ parent: host.cgroupParent });
    await cgroups.create('baseline', cgroupLimits(resources, createQemuVmm().memoryOverheadMib(vm.spec)));
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
      await fill(guestBehind(join(dir, 'run', 'agent.sock'), 'baseline'), fillMib);
      const stages = new StageLog();
      const timed = async (request: Parameters<typeof client.request>[0]): Promise<number> => {
        warmMemory(memMib + 64);
        const began = performance.now();
        await client.request(request, { timeoutMs: 120_000 });
        return performance.now() - began;
      };
      const hostd: Times = { sleep: [], runs: [], told: [] };
      const stream: Times = { sleep: [], runs: [], told: [] };
      // The first round only warms up.
      for (let round = -1; round < ROUNDS; round += 1) {
        const slept = await timed({ type: 'SleepInstance', ...address, force: true });
        const handSlept = await hand.sleep(memMib + 64);
        const told = await timed({ type: 'WakeInstance', ...address });
        const answeredAt = Date.now();
        stages.read(daemon.logs());
        const runs = told - (answeredAt - stages.lastAt('wake', 'vm.resume'));
        const handWoke = await hand.wake(memMib + 64);
        if (round < 0) continue;
        hostd.sleep.push(slept);
        hostd.runs.push(runs);
        hostd.told.push(told);
        stream.sleep.push(handSlept);
        stream.runs.push(handWoke.runsMs);
        stream.told.push(handWoke.toldMs);
      }
      return { hostd, stream };
    } finally {
      await hand.end().catch(() => {});
      await cgroups.remove('baseline');
    }
  } finally {
    await host.dispose();
  }
}

it('wakes a guest in the time of its devices', { timeout: 3_600_000 }, async () => {
  const figures: Figure[] = [];
  const [small, large] = [await measure(GUESTS[0]), await measure(GUESTS[1])];
  figures.push(
    ...ratioFigures(
      'Wake until the guest runs, 1 GiB, mapped against streamed',
      large.hostd.runs,
      large.stream.runs,
      {
        max: 0.15,
      },
    ),
    ...ratioFigures(
      'Wake until the guest runs, mapped, 1 GiB against 256 MiB',
      large.hostd.runs,
      small.hostd.runs,
      {
        max: 1.3,
      },
    ),
    ...ratioFigures('Sleep, 1 GiB, mapped against streamed', large.hostd.sleep, large.stream.sleep, {
      max: 0.5,
    }),
  );
  for (const [{ name }, { hostd, stream }] of [
    [GUESTS[0], small],
    [GUESTS[1], large],
  ] as const) {
    figures.push(
      ...msFigures(`${name}: sleep, mapped`, hostd.sleep),
      ...msFigures(`${name}: sleep, streamed`, stream.sleep),
      ...msFigures(`${name}: wake until it runs, mapped`, hostd.runs),
      ...msFigures(`${name}: wake until it runs, streamed`, stream.runs),
      ...msFigures(`${name}: wake until the answer, mapped and checked`, hostd.told),
      ...msFigures(`${name}: wake until the agent has answered, streamed`, stream.told),
    );
  }
  await writeReport('wake-memory', {
    title: 'Sleep and wake by the size of memory',
    method: `${ROUNDS} interleaved rounds for each guest: SleepInstance (without drain) and WakeInstance over the socket, uncompressed, where the memory is a file that QEMU maps; and a script without hostd that streams the same guest’s memory through a Unix socket into a file and back, as hostd did before. Each turn begins right after more memory than the guest has was touched and freed. 1 vCPU, TCG.`,
    figures,
  });
});
