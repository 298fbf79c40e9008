/**
 * Start of an instance through hostd, against spawning the same QEMU command line by hand and waiting for the same
 * console line. Both sides take turns in one run, on the same TAP, drives and sockets.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import type { InstanceRecord } from '../src/state/records.js';
import { ensureTenantAndPool, netOf, until } from '../test/daemon.js';
import { createVmHost, instanceFile } from '../test/vm/vm-host.js';

const GREETING = 'mvm-guest ready ';
/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '12');
const address = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-bench' };

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const rounded = (value: number, digits = 1): number => Number(value.toFixed(digits));

/** The duration of every step of every start that hostd's debug log shows, by operation and stage. */
function stageTimes(log: string): Map<string, { stage: string; ms: number }> {
  const stages = new Map<string, { stage: string; ms: number }>();
  for (const line of log.split('\n')) {
    if (!line.startsWith('{') || !line.endsWith('}')) continue;
    const { op, operation, step, ms, msg } = JSON.parse(line);
    const stage = msg === 'step done' ? step : msg === 'operation done' ? 'whole request' : null;
    if (operation === 'start' && stage !== null) stages.set(`${op} ${stage}`, { stage, ms });
  }
  return stages;
}

it('starts an instance', async () => {
  const host = await createVmHost();
  try {
    const daemon = await host.start();
    const client = host.client();
    await ensureTenantAndPool(client, address.tenant_id, 3);
    await client.request({ type: 'CreateInstance', ...address });
    const console_ = instanceFile(host, address, 'runtime', 'console.log');

    const untilGreeting = async (from: number): Promise<void> => {
      await until(
        'greeting',
        async () => {
          const text = await readFile(console_, 'utf8').catch(() => '');
          return text.slice(from).includes(GREETING);
        },
        120_000,
      );
    };
    const consoleSize = (): Promise<number> =>
      stat(console_).then(
        ({ size }) => size,
        () => 0,
      );

    const throughHostd = async (): Promise<{ ms: number; record: InstanceRecord }> => {
      const from = await consoleSize();
      const began = performance.now();
      await client.request({ type: 'StartInstance', ...address });
      await untilGreeting(from);
      const ms = performance.now() - began;
      const record = JSON.parse(await readFile(instanceFile(host, address, 'instance.json'), 'utf8'));
      await client.request({ type: 'StopInstance', ...address });
      return { ms, record };
    };

    const byHand = async (record: InstanceRecord): Promise<number> => {
      const vm = record.vm;
      if (vm == null) throw new Error('the record does not say how the VM was launched');
      const { tapName } = vm.spec.net;
      await mkdir(vm.spec.socketDir, { recursive: true });
      await mkdir(vm.spec.emptyRootPath, { recursive: true });
      await execa('ip', ['tuntap', 'add', 'dev', tapName, 'mode', 'tap', 'user', String(vm.spec.uid)]);
      await execa('ip', ['link', 'set', tapName, 'master', netOf(3).bridge_name, 'up']);
      const from = await consoleSize();
      const began = performance.now();
      const [program = '', ...args] = vm.argv.filter((argument) => argument !== '-S');
      const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
      const exited = once(child, 'exit');
      await Promise.race([untilGreeting(from), exited.then(() => Promise.reject(new Error('QEMU ended')))]);
      const ms = performance.now() - began;
      child.kill('SIGKILL');
      await exited;
      await execa('ip', ['link', 'del', tapName]);
      await rm(vm.spec.socketDir, { recursive: true, force: true });
      return ms;
    };

    const { record } = await throughHostd();
    const warm = await byHand(record);
    process.stdout.write(`warmed up; by hand ${rounded(warm)} ms\n`);
    const hostd: number[] = [];
    const hand: number[] = [];
    const seen = new Map<string, { stage: string; ms: number }>();
    for (let round = 0; round < ROUNDS; round += 1) {
      // The log and the console stay short, so that reading them costs the same in every round.
      await truncate(console_, 0);
      if (round % 2 === 0) hostd.push((await throughHostd()).ms);
      hand.push(await byHand(record));
      if (round % 2 === 1) hostd.push((await throughHostd()).ms);
      for (const [key, value] of stageTimes(daemon.logs())) seen.set(key, value);
    }
    const stages = new Map<string, number[]>();
    for (const { stage, ms } of seen.values()) stages.set(stage, [...(stages.get(stage) ?? []), ms]);
    const ratios = hostd.map((ms, round) => ms / (hand[round] ?? Number.NaN));
    const figures = [
      {
        name: 'Start until the greeting, hostd against by hand',
        value: rounded(quantile(sorted(hostd), 0.5) / quantile(sorted(hand), 0.5), 3),
        unit: '×',
        target: { max: 1.05 },
      },
      {
        name: 'the same, median of the rounds’ ratios',
        value: rounded(quantile(sorted(ratios), 0.5), 3),
        unit: '×',
      },
      { name: 'through hostd, p50', value: rounded(quantile(sorted(hostd), 0.5)), unit: 'ms' },
      { name: 'through hostd, p95', value: rounded(quantile(sorted(hostd), 0.95)), unit: 'ms' },
      { name: 'by hand, p50', value: rounded(quantile(sorted(hand), 0.5)), unit: 'ms' },
      { name: 'by hand, p95', value: rounded(quantile(sorted(hand), 0.95)), unit: 'ms' },
      ...[...stages].flatMap(([stage, times]) => [
        { name: `hostd, ${stage}, p50`, value: rounded(quantile(sorted(times), 0.5), 2), unit: 'ms' },
        { name: `hostd, ${stage}, p95`, value: rounded(quantile(sorted(times), 0.95), 2), unit: 'ms' },
      ]),
    ];
    const report = {
      title: 'Start of an instance',
      method: `${ROUNDS} interleaved rounds: StartInstance over the socket, and the same QEMU command line spawned by hand on a TAP and with drives made before; both until the guest’s greeting is on the console. TCG, 1 vCPU, 192 MiB. A stage is a step of the plan, out of hostd’s debug log.`,
      figures,
    };
    const results = join(dirname(fileURLToPath(import.meta.url)), '../.bench-results');
    await mkdir(results, { recursive: true });
    await writeFile(join(results, 'start.json'), `${JSON.stringify(report, null, 2)}\n`);
    process.stdout.write(
      `${cpus()[0]?.model} × ${cpus().length}, Linux ${release()}, Node ${process.version}\n`,
    );
    for (const { name, value, unit } of figures) {
      process.stdout.write(`${name.padEnd(52)} ${String(value).padStart(9)} ${unit}\n`);
    }
    expect(hostd).toHaveLength(ROUNDS);
  } finally {
    await host.dispose();
  }
});
