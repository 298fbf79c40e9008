import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { VmRecord } from '../../src/vmm/vmm.js';
import type { ModelHost } from './host.js';
import type { ModelInstance } from './state.js';

/** What a VM says of itself. */
export interface GuestNow {
  readonly running: boolean;
  readonly boot: string;
  readonly count: number;
}

/** Throws when the VM at this control socket does not answer. */
export async function queryVm(path: string): Promise<GuestNow> {
  const socket = connect(path);
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('data', (piece) => resolve(piece.toString('utf8')));
      socket.write('query\n');
      setTimeout(() => reject(new Error(`${path} does not answer`)), 10_000).unref();
    });
    const match = /^state (running|paused) boot=(\S+) count=(\d+)\n$/.exec(answer);
    if (match === null) throw new Error(`not a VM's answer: ${answer}`);
    return { running: match[1] === 'running', boot: match[2] as string, count: Number(match[3]) };
  } finally {
    socket.destroy();
  }
}

/** What a model knows of the guests that it has seen, to notice one that was replaced or set back. */
export type Guests = Map<string, GuestNow>;

/** What a VM is to be launched with. */
export interface Machine {
  readonly mac: string;
  readonly vcpus: number;
  readonly memMib: number;
}

/** In what a VM is another machine than its instance is to have: its MAC, CPUs, memory, and the limits that it runs under. */
export async function machineProblems(
  { cgroups }: ModelHost,
  { pid, spec }: VmRecord,
  { mac, vcpus, memMib }: Machine,
): Promise<string[]> {
  const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const given = (name: string): string | undefined => argv[argv.indexOf(`--${name}`) + 1];
  const { memoryMaxBytes, cpuMaxPercent, pidsMax } = await cgroups.stats(spec.vmId);
  const found = {
    mac: given('mac'),
    vcpus: given('vcpus'),
    memMib: given('mem'),
    memoryMaxMib: (memoryMaxBytes ?? 0) / 1_048_576,
    cpuMaxPercent,
    pidsMax,
  };
  const wanted = {
    mac,
    vcpus: String(vcpus),
    memMib: String(memMib),
    memoryMaxMib: memMib + (spec.accelerator === 'kvm' ? 192 : 512),
    cpuMaxPercent: vcpus * 100,
    pidsMax: vcpus + 64,
  };
  if (isDeepStrictEqual(found, wanted)) return [];
  return [`${spec.vmId} is ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`];
}

/** In what a guest is not the one that it was at the last look, or does not stand as its instance's status says. */
export async function guestProblems(
  host: ModelHost,
  vmId: string,
  key: string,
  status: ModelInstance['status'],
  guests: Guests,
): Promise<string[]> {
  const now = await queryVm(join(host.layout.vmSocketDir(vmId), 'control.sock'));
  const before = guests.get(key);
  guests.set(key, now);
  const problems: string[] = [];
  if (now.running !== (status === 'running')) {
    problems.push(`${vmId} is recorded as ${status}, and its vCPUs ${now.running ? 'run' : 'are stopped'}`);
  }
  if (before !== undefined && before.boot !== now.boot) problems.push(`${key} is another guest than before`);
  if (before !== undefined && before.count > now.count) problems.push(`${key} was set back`);
  return problems;
}
