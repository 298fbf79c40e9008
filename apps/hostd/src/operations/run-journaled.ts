import { CodedError, toCodedError } from '@mvm/protocol';
import { executePlan } from '../execute/execute-plan.js';
import type { Journal } from '../execute/journal.js';
import type { HostPorts } from '../execute/ports.js';
import type { Plan, Step } from '../execute/step.js';
import type { AuditSink } from '../state/audit-log.js';
import type { InstanceAddress } from '../state/layout.js';
import { isAlive } from '../vmm/process/process-identity.js';
import { consoleMark, consoleTail } from './console-tail.js';
import type { OperationContext } from './operation-context.js';
import { type PrepareDeps, prepareReap } from './prepare-instance.js';
import { lostReason, startFailedReason, wakeFailedReason } from './stop-reasons.js';

/** What journaled plans are run and settled with. */
export interface JournaledDeps extends PrepareDeps {
  readonly ports: HostPorts;
  readonly journal: Journal;
  /** For what hostd finds out by itself; of requests, whoever takes them writes the line. */
  readonly audit: AuditSink;
}

/** Say in the record of an instance that its start came to nothing. Nothing when it is not recorded any more. */
export async function recordStartFailure(
  address: InstanceAddress,
  message: string,
  tail: string,
  { store, clock }: JournaledDeps,
): Promise<void> {
  const instance = store.instance(address);
  if (instance === undefined) return;
  await store.saveInstance({
    ...instance,
    stop_reason: startFailedReason(message, { at: clock.now(), tail }),
  });
}

/** Reasons beside `snapshot.*` for which a snapshot cannot be used before somebody has changed something. */
const SNAPSHOT_REASONS: ReadonlySet<string> = new Set([
  'disk.damaged',
  'disk.in_use',
  'disk.key_missing',
  'disk.other_key',
  'tenant.bad_key',
  'vmm.devices_changed',
  'vmm.not_resumed',
  'vmm.restore_failed',
]);

/**
 * Say in the record of an instance that sleeps on that its snapshot could not be used, and why. Nothing when the wake
 * failed for another reason: no room, a quota, a network that is down.
 */
export async function recordWakeFailure(
  address: InstanceAddress,
  thrown: unknown,
  { store, clock }: JournaledDeps,
): Promise<void> {
  const instance = store.instance(address);
  const { reason, message } = toCodedError(thrown);
  if (instance?.status !== 'sleeping') return;
  if (!reason.startsWith('snapshot.') && !SNAPSHOT_REASONS.has(reason)) return;
  await store.saveInstance({
    ...instance,
    stop_reason: wakeFailedReason(message, { at: clock.now(), tail: '' }),
  });
}

/**
 * A wake that failed past its commit point: the memory is lost, and the instance is stopped, cleanly. The plan of the reap
 * takes the place of the wake's in the journal, so that there is always one that leads out.
 */
export async function reapWoken(
  address: InstanceAddress,
  message: string,
  context: OperationContext,
  deps: JournaledDeps,
): Promise<void> {
  const tail = await consoleTail(deps.ports, address, null);
  const reason = lostReason(message, { at: deps.clock.now(), tail });
  await runJournaled(prepareReap(address, reason, deps), context, deps);
}

/** Whether the guest of a wake past its commit point runs, though a step after that failed: then it is finished later. */
async function runsOn(plan: Plan, failed: Step, { store }: JournaledDeps): Promise<boolean> {
  const vm = store.instance(plan.address)?.vm;
  const wasResumed = plan.steps.indexOf(failed) > plan.steps.findIndex(({ kind }) => kind === 'vm.resume');
  return wasResumed && vm != null && (await isAlive(vm));
}

/**
 * Journal a plan and run it; the caller holds the instance's lock. The journal is cleared only when the plan is complete
 * or completely undone. On failure of an undone start, what is thrown ends with the console's last lines.
 */
export async function runJournaled(
  plan: Plan,
  context: OperationContext,
  deps: JournaledDeps,
): Promise<void> {
  const { ports, journal } = deps;
  const { address } = plan;
  const logger = context.logger;
  const began = performance.now();
  await journal.begin(context.opId, plan);
  logger.debug({ step: 'journal', ms: performance.now() - began }, 'step done');
  const mark = plan.operation === 'start' ? await consoleMark(ports, address) : null;
  const outcome = await executePlan(plan, ports, logger, async (completed) => {
    if (completed === plan.steps.length) return;
    // It decides nothing: what is done is not given up because nobody can be told how far it came.
    await journal.progress(context.opId, plan, completed).catch((error: unknown) => {
      logger.warn({ err: error }, 'how far an operation has come could not be noted');
    });
  });
  if (outcome.ok) {
    await journal.end(address);
    return;
  }
  if (plan.onFailure === 'commit') {
    if (outcome.undone) await journal.end(address);
    else if (plan.operation === 'wake' && outcome.stays && !(await runsOn(plan, outcome.failedStep, deps))) {
      await reapWoken(address, `the wake failed: ${toCodedError(outcome.error).message}`, context, deps);
    }
    throw outcome.error;
  }
  if (mark === null) {
    if (outcome.undone) await journal.end(address);
    throw outcome.error;
  }
  const error = toCodedError(outcome.error);
  const tail = await consoleTail(ports, address, mark);
  if (outcome.undone) {
    await recordStartFailure(address, error.message, tail, deps);
    await journal.end(address);
  }
  if (!outcome.failedStep.kind.startsWith('vm.') || tail === '') throw error;
  throw new CodedError({
    code: error.code,
    reason: error.reason,
    message: `${error.message}\nLast lines of the console:\n${tail}`,
    hint: error.hint,
    details: error.details,
    cause: error,
  });
}
