import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect } from 'vitest';
import { instanceRecordSchema, parseRecord } from '../../src/state/records.js';
import { addressOf, readText, recordedPart } from './assert-consistent.js';
import { type Command, command, judged, type Run } from './command.js';
import { explain } from './explain.js';
import { type Harness, onlyMatch } from './harness.js';
import { type DrawnOperation, nthInstance, operationOf, operationText } from './requests.js';
import {
  type At,
  apply,
  find,
  type InstanceOp,
  instancesOf,
  type ModelOperation,
  type State,
  type Status,
  withVmEnded,
} from './state.js';

/** Where hostd is killed: as its n-th step from now begins, or at a failpoint of its own. */
type Where = { readonly steps: number } | { readonly point: string };

const textOf = (where: Where): string => ('steps' in where ? `step ${where.steps}` : where.point);

/**
 * What the files that a killed hostd left decide of the request that it was at: what it starts again with has to be the
 * state after it, or that of before; null when both will do. A snapshot counts from its name on, and until it has lost
 * it; what runs or waits, by its record; what ends a VM, from its journal on.
 */
function decided(state: State, operation: ModelOperation, { host }: Harness): 'before' | 'after' | null {
  if (!('flag' in operation) || apply(state, operation).answer !== 'ok') return null;
  const address = addressOf(operation.at);
  const becomes = (status: Status): 'before' | 'after' => {
    const path = host.layout.instanceRecord(address);
    return parseRecord(instanceRecordSchema, path, readText(path)).status === status ? 'after' : 'before';
  };
  const hasSnapshot = existsSync(join(host.layout.snapshotsDir(address), 'delta'));
  switch (operation.op) {
    case 'sleep':
      return hasSnapshot ? 'after' : 'before';
    case 'wake':
      return hasSnapshot ? 'before' : 'after';
    case 'warm':
      return becomes('warm');
    case 'start':
    case 'resume':
      return becomes('running');
    default:
      return existsSync(join(host.layout.instanceDir(address), 'op.json')) ? 'after' : null;
  }
}

async function runCrash(
  operation: ModelOperation,
  at: Where,
  vmToo: boolean,
  { model, harness, say }: Run,
): Promise<void> {
  const text = `${operationText(operation)}, hostd killed at ${textOf(at)}${vmToo ? ', the VM too' : ''}`;
  say(text);
  const reached = 'steps' in at ? harness.host.nextStep(at.steps) : harness.host.strike(at.point);
  const answered = harness.request(operation);
  await Promise.race([reached, answered]);
  await harness.host.kill();
  const answer = await answered;
  const outcome = decided(model.state, operation, harness);
  // A reboot that is journaled gives the instance another VM: by its own steps, or when it is recovered.
  const relaunches =
    'flag' in operation &&
    operation.op === 'reboot' &&
    existsSync(join(harness.host.layout.instanceDir(addressOf(operation.at)), 'op.json'));
  if (vmToo && 'at' in operation) await harness.killVm(model.state, operation.at);
  await harness.host.start();
  const heard = answer === 'unheard' ? null : answer;
  const after = recordedPart(apply(model.state, operation).state);
  const explained = explain(model.state, [{ operation, answer: heard }], recordedPart).filter(
    (state) => outcome === null || (recordedPart(state) === after) === (outcome === 'after'),
  );
  const ended = (): State[] =>
    'at' in operation ? explained.map((state) => withVmEnded(state, operation.at)) : explained;
  const possible = vmToo ? [...(relaunches ? explained : []), ...ended()] : explained;
  model.state = onlyMatch(possible, harness.recorded(), text);
  say(
    `${text} → ${answer}${'at' in operation ? `, ${find(model.state, operation.at)?.status ?? 'gone'}` : ''}`,
  );
}

/** hostd is killed while it carries out a request, or after it; the state is that of before or of after. */
export function crash(made: DrawnOperation, steps: number, vmToo: boolean): Command {
  return command(
    `kill hostd ${steps} steps after ${JSON.stringify(made)}`,
    (state) => operationOf(made, state),
    (operation, run) => runCrash(operation, { steps }, vmToo, run),
  );
}

/** This request, with hostd killed as its n-th step begins. */
export function crashedAt(operation: ModelOperation, steps: number): Command {
  return command(
    operationText(operation),
    () => operation,
    (_, run) => runCrash(operation, { steps }, false, run),
  );
}

/** How an instance gets to where it may be put to sleep, woken, paused or let go on. */
const TOWARDS: Readonly<
  Record<'running' | 'warm' | 'sleeping', Readonly<Partial<Record<Status, InstanceOp>>>>
> = {
  running: { created: 'start', ready: 'start', stopped: 'start', sleeping: 'wake', warm: 'resume' },
  warm: { created: 'start', ready: 'start', stopped: 'start', sleeping: 'wake', running: 'warm' },
  sleeping: { created: 'start', ready: 'start', stopped: 'start', running: 'sleep', warm: 'sleep' },
};

/** From where, and at which failpoints hostd is killed; those around which it is decided what becomes of it more often. */
const SUSPENDS = {
  sleep: {
    from: 'running',
    steps: [
      ...['journal', 'vm.pause', 'snapshot.write', 'snapshot.commit', 'vm.kill', 'instance.commit_sleeping'],
      ...['port.detach', 'cgroup.remove', 'runtime.remove', 'journal_end', 'audit'],
    ],
  },
  wake: {
    from: 'sleeping',
    steps: [
      ...['journal', 'port.attach', 'snapshot.verify', 'vm.restore', 'vm.record', 'snapshot.consume'],
      ...['vm.resume', 'vm.resume', 'guest.wake', 'guest.wake', 'instance.commit_running'],
      ...['snapshot.check', 'snapshot.discard', 'journal_end', 'audit'],
    ],
  },
  warm: { from: 'running', steps: ['journal', 'vm.pause', 'instance.commit_warm', 'journal_end'] },
  resume: {
    from: 'warm',
    steps: ['journal', 'vm.resume', 'guest.wake', 'instance.commit_resumed', 'journal_end'],
  },
} as const;
type Suspend = keyof typeof SUSPENDS;

/** Brings an instance to a status, by requests that the model judges. Whether it got there. */
async function bring(at: At, to: 'running' | 'warm' | 'sleeping', run: Run): Promise<boolean> {
  for (;;) {
    const status = find(run.model.state, at)?.status;
    if (status === to) return true;
    const op = status === undefined ? undefined : TOWARDS[to][status];
    if (op === undefined || (await judged({ op, at, flag: true }, run)) !== 'ok') return false;
  }
}

/** What one crash in the midst of a suspension is made of. */
export interface Halfway {
  readonly known: number;
  readonly op: Suspend;
  /** Which failpoint, counted round. */
  readonly nth: number;
  readonly moment: 'before' | 'after';
  readonly vmToo: boolean;
}

export const halfway: fc.Arbitrary<Halfway> = fc.record({
  known: fc.nat(5),
  op: fc.constantFrom('sleep', 'sleep', 'wake', 'wake', 'warm', 'resume'),
  nth: fc.nat(219),
  moment: fc.constantFrom('before', 'after'),
  vmToo: fc.constantFrom(false, false, true),
});

/**
 * An instance is brought to where it can be put to sleep, woken, paused or let go on, and hostd is killed at a step of
 * that; then a wake is asked for, whatever became of it: a state that ran before must not run again.
 */
export function crashHalfway({ known, op, nth, moment, vmToo }: Halfway): Command {
  const { from, steps } = SUSPENDS[op];
  const point = `${op}/${steps[nth % steps.length]}/${moment}`;
  return command(
    `kill hostd at ${point} of ${known}`,
    (state) => nthInstance(state, known),
    async (at, run) => {
      if (!(await bring(at, from, run))) return;
      await run.harness.assertConsistent(run.model.state);
      await runCrash({ op, at, flag: false }, { point }, vmToo, run);
      await run.harness.assertConsistent(run.model.state);
      await judged({ op: 'wake', at, flag: false }, run);
    },
  );
}

/** Requests that an instance needs its tenant's network for, once that is down: refused, for that reason. */
export function withoutNetwork(known: number, asleep: boolean, back: boolean): Command {
  return command(
    `no network under ${known}`,
    (state) => nthInstance(state, known),
    async (at, run) => {
      const { tenant } = at;
      const { netId = 0 } = run.model.state[tenant] ?? {};
      if (asleep && !(await bring(at, 'sleeping', run))) return;
      for (const { at: other, instance } of instancesOf(run.model.state)) {
        if (other.tenant !== tenant || !['running', 'warm'].includes(instance.status)) continue;
        await judged({ op: 'stop', at: other, flag: true }, run);
      }
      expect(await judged({ op: 'teardown', tenant, netId }, run)).toBe('ok');
      await run.harness.assertConsistent(run.model.state);
      for (const op of ['start', 'wake'] as const) await judged({ op, at, flag: true }, run);
      if (back) await judged({ op: 'setup', tenant, netId }, run);
    },
  );
}
