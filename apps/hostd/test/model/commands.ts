import { readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '@mvm/testkit';
import { execa } from 'execa';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Fault, VmmCall } from '../fake-vmm/driver.js';
import { networkProblems, vmIdOf } from './assert-consistent.js';
import { CANCELERS, cancelSleep } from './cancel-sleep.js';
import { type Command, command, judged, type Run, where } from './command.js';
import { crash, crashHalfway, halfway, withoutNetwork } from './crash.js';
import { damageSnapshot, SPOILINGS } from './damage.js';
import { hasLive } from './explain.js';
import type { Harness } from './harness.js';
import { queryVm } from './machines.js';
import { ORPHANS, type Orphan, plantForeign, plantOrphan } from './orphans.js';
import { type DrawnOperation, drawnOperation, nthInstance, operationOf, operationText } from './requests.js';
import {
  type At,
  apply,
  find,
  type InstanceOp,
  instancesOf,
  isLive,
  type ModelOperation,
  put,
  type State,
  withVmEnded,
} from './state.js';

/** One request, alone: the answer is the model's, and so is what follows. */
function request(made: DrawnOperation): Command {
  return command(
    `request ${JSON.stringify(made)}`,
    (state) => operationOf(made, state),
    async (operation, run) => ((await judged(operation, run)) === 'ok' ? undefined : 'refused'),
  );
}

/** Calls of the VMM that an operation makes from a state; the first that misbehaves decides. */
const CALLS: Readonly<Partial<Record<InstanceOp, readonly VmmCall[]>>> = {
  start: ['launch', 'resume'],
  sleep: ['pause', 'save'],
  wake: ['version', 'restore', 'resume'],
  warm: ['pause'],
  resume: ['resume'],
};

/** The state after an operation during which a call of the VMM failed, its VM died, or hostd was killed. */
function afterFault(state: State, operation: InstanceOperation, call: VmmCall, fault: FaultKind): State {
  const before = find(state, operation.at);
  if (before === undefined) throw new Error('a fault needs an instance');
  const prepared =
    before.status === 'created' ? put(state, operation.at, { ...before, status: 'ready' }) : state;
  // Past its commit point: hostd killed there goes on with it; a refusal gives the memory back; any other failure loses it.
  if (operation.op === 'wake' && call === 'resume' && fault !== 'fail') {
    if (isHang(fault)) return apply(state, operation).state;
    return put(state, operation.at, { ...before, status: 'stopped', uses: null });
  }
  return fault === 'die' && ['sleep', 'warm', 'resume'].includes(operation.op)
    ? withVmEnded(prepared, operation.at)
    : prepared;
}

type InstanceOperation = Extract<ModelOperation, { flag: boolean }>;

/** An operation that would succeed on the instance, with a call of the VMM that it makes. */
function faultyCall(
  state: State,
  known: number,
  nth: number,
): { operation: InstanceOperation; call: VmmCall } | null {
  const at = nthInstance(state, known);
  const instance = at === null ? undefined : find(state, at);
  if (at === null || instance === undefined) return null;
  const ops = (Object.keys(CALLS) as InstanceOp[]).filter(
    (op) => apply(state, { op, at, flag: true }).answer === 'ok',
  );
  const op = ops[nth % Math.max(1, ops.length)];
  if (op === undefined) return null;
  // A warm VM is paused already.
  const calls = (CALLS[op] ?? []).filter((call) => call !== 'pause' || instance.status === 'running');
  return { operation: { op, at, flag: true }, call: calls[Math.floor(nth / 7) % calls.length] as VmmCall };
}

type FaultKind = Exclude<Fault, number>;
const isHang = (fault: FaultKind): boolean => fault === 'hang' || fault === 'hang-done';

async function runFaulty(
  operation: InstanceOperation,
  call: VmmCall,
  fault: FaultKind,
  { model, harness, say }: Run,
): Promise<void> {
  const text = `${operationText(operation)}, its VMM told to ${fault} at ${call}`;
  say(text);
  await harness.host.arm(call, fault);
  const met = harness.host.nextFault();
  const answered = harness.request(operation);
  await Promise.race([met, answered]);
  if (isHang(fault)) {
    if (fault === 'hang-done')
      await untilVcpus(call === 'resume', vmIdOf(model.state, operation.at), harness);
    await harness.host.kill();
    await harness.host.start();
    expect(await answered, text).toBe('unheard');
  } else {
    expect(await answered, text).toMatch(/^(internal|failed_precondition) vmm\./);
  }
  const before = model.state;
  model.state = afterFault(before, operation, call, fault);
  if (hasLive(before, operation.at) && !hasLive(model.state, operation.at))
    await harness.untilStopped(operation.at);
  say(`${text} → ${find(model.state, operation.at)?.status}`);
}

/** Wait until a VM's vCPUs run, or are stopped. */
async function untilVcpus(running: boolean, vmId: string, { host }: Harness): Promise<void> {
  const control = join(host.layout.vmSocketDir(vmId), 'control.sock');
  await until(
    `${vmId} ${running ? 'running' : 'paused'}`,
    async () => (await queryVm(control)).running === running,
  );
}

/** An operation whose VMM fails it, or dies, or hangs until hostd is killed; whichever fits the state. */
function faulty(known: number, nth: number, fault: FaultKind): Command {
  return command(
    `${fault} at call ${nth} of an operation on ${known}`,
    (state) => {
      const found = faultyCall(state, known, nth);
      if (found?.call === 'version') return fault === 'fail' ? found : null;
      const takesEffect = found?.call === 'resume' || found?.call === 'pause';
      return fault.endsWith('-done') && !takesEffect ? null : found;
    },
    ({ operation, call }, run) => runFaulty(operation, call, fault, run),
  );
}

/** This operation, whose VMM fails it, or dies, or hangs until hostd is killed, at this call. */
export function faultyAt(operation: InstanceOperation, call: VmmCall, fault: FaultKind): Command {
  return command(
    operationText(operation),
    () => operation,
    (_, run) => runFaulty(operation, call, fault, run),
  );
}

/** This request, alone. */
export function requested(operation: ModelOperation): Command {
  return request({ kind: 'given', operation });
}

/** What another program does to the host while hostd is down. */
export const MISCHIEF = ['kill-vm', 'delete-tap', 'flush-nft', 'remove-cgroup', 'delete-bridge'] as const;
type Interference = (typeof MISCHIEF)[number];

function nthLive(state: State, known: number): At | null {
  const live = instancesOf(state).filter(({ instance }) => isLive(instance));
  return live[known % Math.max(1, live.length)]?.at ?? null;
}

/**
 * hostd is killed between two requests, the host is disturbed meanwhile, parts of an unknown VM are left there, and hostd
 * is started again. It puts the host right, and touches nothing of others.
 */
export function restart(
  known: number,
  interference: readonly Interference[],
  orphan: readonly Orphan[] = [],
): Command {
  return command(
    `restart, meanwhile ${interference.join(', ')} on ${known}, left over ${orphan.join(', ')}`,
    (state) => ({ at: nthLive(state, known) }),
    async ({ at }, { model, harness, say }) => {
      const on = at === null ? '' : ` on ${where(at)}`;
      const leftOver = orphan.length === 0 ? '' : `, left over: ${orphan.join(', ')}`;
      say(
        `restart${interference.length === 0 ? '' : `, meanwhile ${interference.join(', ')}${on}`}${leftOver}`,
      );
      await harness.host.kill();
      if (at !== null) {
        const vmId = vmIdOf(model.state, at);
        if (interference.includes('kill-vm')) {
          await harness.killVm(model.state, at);
          model.state = withVmEnded(model.state, at);
        }
        if (interference.includes('delete-tap')) await execa('ip', ['link', 'delete', vmId]);
        if (interference.includes('remove-cgroup')) await expelFromCgroups(harness, vmId);
        if (interference.includes('delete-bridge')) {
          await execa('ip', ['link', 'delete', `br-tenant-${model.state[at.tenant]?.netId}`]);
        }
      }
      if (interference.includes('flush-nft')) await execa('nft', ['flush', 'ruleset']);
      await plantOrphan(orphan, harness.host);
      const foreign = orphan.length === 0 ? null : await plantForeign(harness.host);
      await harness.host.start();
      await foreign?.();
    },
  );
}

/** Moves a VM out of its cgroup, in every hierarchy, and removes the cgroup. */
async function expelFromCgroups({ host }: Harness, vmId: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).matchAll(
    / (\/sys\/fs\/cgroup[^ ]*) .* - cgroup2? /g,
  );
  for (const [, root = ''] of mounts) {
    const directory = join(root, host.config.cgroupParent, vmId);
    const pids = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => null);
    if (pids === null) continue;
    for (const pid of pids.split('\n').filter((line) => line !== '')) {
      await writeFile(join(root, 'cgroup.procs'), pid).catch(() => {});
    }
    await until('the cgroup removed', () =>
      rmdir(directory).then(
        () => true,
        () => null,
      ),
    );
  }
}

/** What another program does while hostd runs; it is repaired by the watch, or by the next request of the tenant. */
function disturb(known: number, interference: 'kill-vm' | 'flush-nft' | 'delete-tap'): Command {
  return command(
    `${interference} of ${known}`,
    (state) => {
      const at = nthLive(state, known);
      return at === null && interference !== 'flush-nft' ? null : { at };
    },
    async ({ at }, { model, harness, say }) => {
      say(`${interference}${at === null || interference === 'flush-nft' ? '' : ` ${where(at)}`}`);
      if (interference === 'flush-nft') {
        await execa('nft', ['flush', 'ruleset']);
        await until(
          'the tables put back',
          async () => (await networkProblems(harness.host, model.state)).length === 0,
        );
      } else if (at !== null && interference === 'delete-tap') {
        await execa('ip', ['link', 'delete', vmIdOf(model.state, at)]);
        const netId = model.state[at.tenant]?.netId ?? 0;
        expect(await harness.request({ op: 'setup', tenant: at.tenant, netId })).toBe('ok');
      } else if (at !== null) {
        await harness.killVm(model.state, at);
        await harness.untilStopped(at);
        model.state = withVmEnded(model.state, at);
      }
    },
  );
}

const faults = ['fail', 'die', 'hang', 'hang', 'fail-done', 'hang-done', 'hang-done'] as const;
const disturbances = ['kill-vm', 'kill-vm', 'flush-nft', 'delete-tap'] as const;
const requests = drawnOperation.map(request);

/** Every command, as often as it is to come: `fc.commands` takes each entry with the same weight. */
export const commands: fc.Arbitrary<Command>[] = [
  ...Array.from({ length: 24 }, () => requests),
  ...Array.from({ length: 2 }, () =>
    fc.tuple(fc.nat(5), fc.nat(60), fc.constantFrom(...faults)).map((args) => faulty(...args)),
  ),
  ...Array.from({ length: 2 }, () =>
    fc.tuple(drawnOperation, fc.integer({ min: 1, max: 14 }), fc.boolean()).map((args) => crash(...args)),
  ),
  ...Array.from({ length: 3 }, () => halfway.map(crashHalfway)),
  fc.tuple(fc.nat(5), fc.boolean(), fc.boolean()).map((args) => withoutNetwork(...args)),
  fc
    .tuple(
      fc.nat(5),
      fc.subarray([...MISCHIEF], { maxLength: 2 }),
      fc.subarray([...ORPHANS], { maxLength: 3 }),
    )
    .map((args) => restart(...args)),
  fc.tuple(fc.nat(5), fc.constantFrom(...disturbances)).map((args) => disturb(...args)),
  ...Array.from({ length: 2 }, () =>
    fc
      .tuple(fc.nat(5), fc.constantFrom(...SPOILINGS), fc.constantFrom(true, true, false))
      .map((args) => damageSnapshot(...args)),
  ),
  fc.tuple(fc.nat(5), fc.constantFrom(...CANCELERS)).map((args) => cancelSleep(...args)),
];
