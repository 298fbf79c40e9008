/**
 * Start of an instance through hostd, against spawning the same QEMU command line by hand and waiting for the same
 * console line. Both sides take turns in one run, on the same TAP, drives and sockets.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, truncate } from 'node:fs/promises';
import { until } from '@mvm/testkit';
import { expect, it } from 'vitest';
import { createCgroups } from '../src/cgroup/cgroups.js';
import type { InstanceRecord } from '../src/state/records.js';
import { argvOf } from '../test/driver-contract/qemu-argv.js';
import { ensureTenantAndPool } from '../test/tenants.js';
import { createVmHost, instanceFile } from '../test/vm/vm-host.js';
import { msFigures, ratioFigures, writeReport } from './report.js';
import { StageLog } from './stages.js';
import { warmMemory } from './warm-memory.js';

const GREETING = 'mvm-guest ready ';
/** MVM_BENCH_ROUNDS: how often each side has its turn. */
const ROUNDS = Number(process.env.MVM_BENCH_ROUNDS ?? '12');
const address = { tenant_id: 'bench', pool_id: 'workers', instance_id: 'i-bench' };

/** Whether all that is left of a process is what its parent, who is stopped, has not collected. */
async function isDead(pid: number): Promise<boolean> {
  const [threads, status] = await Promise.all([
    readdir(`/proc/${pid}/task`),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  return threads.length === 1 && status.includes('State:\tZ');
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

    const cgroups = await createCgroups({ parent: host.cgroupParent });

    const throughHostd = async (): Promise<number> => {
      const from = await consoleSize();
      warmMemory();
      const began = performance.now();
      await client.request({ type: 'StartInstance', ...address });
      await untilGreeting(from);
      return performance.now() - began;
    };

    /** Ends the VM that hostd runs and puts one in its place, while hostd is stopped: port, cgroup and drives stay. */
    const byHand = async (): Promise<number> => {
      const record: InstanceRecord = JSON.parse(
        await readFile(instanceFile(host, address, 'instance.json'), 'utf8'),
      );
      const vm = record.vm;
      if (vm == null) throw new Error('the record does not say how the VM was launched');
      process.kill(daemon.pid, 'SIGSTOP');
      try {
        process.kill(vm.pid, 'SIGKILL');
        await until('the VM’s end', () => isDead(vm.pid));
        const from = await consoleSize();
        warmMemory();
        const began = performance.now();
        const [program = '', ...args] = argvOf(vm).filter((argument) => argument !== '-S');
        const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
        const exited = once(child, 'exit');
        await cgroups.attach(vm.spec.vmId, child.pid as number);
        await Promise.race([untilGreeting(from), exited.then(() => Promise.reject(new Error('QEMU ended')))]);
        const ms = performance.now() - began;
        child.kill('SIGKILL');
        await exited;
        return ms;
      } finally {
        process.kill(daemon.pid, 'SIGCONT');
      }
    };

    /** hostd has noticed that its VM is gone, and cleaned up. */
    const untilStopped = async (): Promise<void> => {
      await until('stopped', async () => {
        const { status, operation } = await client.request({ type: 'DescribeInstance', ...address });
        return status === 'stopped' && operation === null;
      });
    };

    const hostd: number[] = [];
    const hand: number[] = [];
    const stages = new StageLog();
    // The first round only warms up.
    for (let round = -1; round < ROUNDS; round += 1) {
      const throughMs = await throughHostd();
      const handMs = await byHand();
      await untilStopped();
      // The console stays short, so that reading it costs the same in every round.
      await truncate(console_, 0);
      if (round < 0) continue;
      hostd.push(throughMs);
      hand.push(handMs);
      stages.read(daemon.logs());
    }
    await writeReport('start', {
      title: 'Start of an instance',
      method: `${ROUNDS} interleaved rounds: StartInstance over the socket, and the same QEMU command line spawned by hand on the port, in the cgroup and with the drives that hostd has made; both until the guest’s greeting is on the console, and both right after as much memory was touched and freed. TCG, 1 vCPU, 192 MiB. A stage is a step of the plan, out of hostd’s debug log.`,
      figures: [
        ...ratioFigures('Start until the greeting, hostd against by hand', hostd, hand, { max: 1.05 }),
        ...msFigures('through hostd', hostd),
        ...msFigures('by hand', hand),
        ...stages.figures('start'),
      ],
    });
    expect(hostd).toHaveLength(ROUNDS);
  } finally {
    await host.dispose();
  }
});
