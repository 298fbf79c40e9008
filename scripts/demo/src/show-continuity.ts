/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
import { until } from '@mvm/node-host';
import { type ConsoleReading, checkContinuity, linesAround, readConsole } from './console.js';
import type { DemoHost } from './host.js';
import { listInstances } from './instances.js';
import type { Mvm } from './mvm.js';
import { heading } from './report.js';
import type { Stages } from './stages.js';

export interface ContinuityOptions {
  readonly host: DemoHost;
  readonly mvm: Mvm;
  readonly stages: Stages;
  readonly signal: AbortSignal;
}

const PATIENCE_MS = 60_000;

/** Puts one guest to sleep and wakes it: it counts on, in the same boot. Rejects when it does not. */
export async function showSleep(instance: string, options: ContinuityOptions): Promise<void> {
  const { mvm, stages } = options;
  const console_ = (): Promise<string> => mvm.read(['instance', 'logs', instance]);
  // A guest that has counted before it sleeps shows that it counts on.
  const before = await countedPast(instance, 1, options);
  console.log(heading(`mvm instance sleep ${instance}`));
  const asleep = await stages.run(
    'sleep',
    async () => {
      await mvm.show(['instance', 'sleep', instance]);
      return readConsole(await console_());
    },
    ({ count }) => `it had counted to ${count}`,
  );
  console.log(heading('mvm instance list'));
  await mvm.show(['instance', 'list']);
  console.log(heading(`mvm instance wake ${instance}`));
  const woken = await stages.run('wake', async () => {
    await mvm.show(['instance', 'wake', instance]);
    return readConsole(await console_());
  });
  await stages.run(
    'counting on',
    async () => {
      const after = await countedPast(instance, woken.count, options);
      checkContinuity(instance, before, after);
      return after;
    },
    ({ count }) => `the same boot: ${asleep.count} → ${count}`,
  );
  console.log(heading('The guest that slept, on its own console'));
  for (const line of linesAround(await console_(), asleep.count)) console.log(`    ${line}`);
}

/** Kills hostd under running guests and starts it again: they never notice. Rejects when one does. */
export async function showKill(options: ContinuityOptions): Promise<void> {
  const { host, mvm, stages } = options;
  const instances = await listInstances(mvm);
  const before = await Promise.all(
    instances.map(async ({ address }) => readConsole(await mvm.read(['instance', 'logs', address]))),
  );
  console.log(heading(`kill -9 ${host.state().hostd?.pid}`));
  await stages.run(
    'hostd is killed',
    async () => {
      await host.killHostd();
      const ended = instances.filter(({ pid }) => !exists(pid));
      if (ended.length > 0)
        throw new Error(`with hostd ended ${ended.map(({ address }) => address).join(', ')}`);
    },
    () => `${instances.length} VMs run on without it`,
  );
  await stages.run(
    'hostd again',
    () => host.startHostd(),
    ({ pid }) => `process ${pid}`,
  );
  await stages.run(
    'counting on',
    async () => {
      await adopted(instances, options);
      return await Promise.all(
        instances.map(async ({ address }, index) => {
          const was = before[index] as ConsoleReading;
          const now = await countedPast(address, was.count, options);
          checkContinuity(address, was, now);
          return `${was.count} → ${now.count}`;
        }),
      );
    },
    (counts) => `the same boots, in the same processes: ${counts.join(', ')}`,
  );
}

/** Waits until hostd answers, through agentd, and has each VM under the process that it had. */
async function adopted(
  before: readonly { address: string; pid: number | null }[],
  { mvm, signal }: ContinuityOptions,
): Promise<void> {
  const limits = { timeoutMs: PATIENCE_MS, everyMs: 200, signal };
  const now = await until('hostd answers again', () => listInstances(mvm).catch(() => null), limits);
  const pids = (list: typeof before): string =>
    list.map(({ address, pid }) => `${address} ${pid}`).join(', ');
  if (pids(now) !== pids(before)) throw new Error(`VMs were ${pids(before)}, and are ${pids(now)}`);
}

/** The guest's console once it has counted past a number. */
async function countedPast(
  instance: string,
  count: number,
  { mvm, signal }: ContinuityOptions,
): Promise<ConsoleReading> {
  const counted = async (): Promise<ConsoleReading | null> => {
    const reading = readConsole(await mvm.read(['instance', 'logs', instance]));
    return reading.count > count ? reading : null;
  };
  return until(`${instance} counts on from ${count}`, counted, {
    timeoutMs: PATIENCE_MS,
    everyMs: 200,
    signal,
  });
}

function exists(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
