import { CodedError, toCodedError } from '@mvm/protocol';
import { executePlan, stepsAfterCommit, undoSteps } from '../execute/execute-plan.js';
import type { HostPorts } from '../execute/ports.js';
import type { OperationName, Plan } from '../execute/step.js';
import { adoptVm } from '../execute/steps/vm.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { isAlive } from '../vmm/process/process-identity.js';
import { auditLoss } from './audit-exit.js';
import type { OperationContext } from './operation-context.js';
import { markResumePending } from './resume-pending.js';
import { type JournaledDeps, reapWoken, recordStartFailure } from './run-journaled.js';

/** What a plan that is undone after a failure is complete with. */
const COMPLETE: Partial<Record<OperationName, InstanceRecord['status']>> = {
  start: 'running',
  resume: 'running',
  warm: 'warm',
};

function cleanupIncomplete(plan: Plan, cause: unknown): CodedError {
  const why = cause === null ? 'see the log' : toCodedError(cause).message;
  return new CodedError({
    code: 'unavailable',
    reason: 'instance.cleanup_incomplete',
    message: `an earlier ${plan.operation} of instance ${addressText(plan.address)} is not cleaned up: ${why}`,
    hint: 'Remove the cause (the log of hostd names it), then repeat the request: it is tried again first.',
    cause,
  });
}

/** The VM of a wake that is past its commit point: watched already, or adopted now. Whether it is there. */
async function findWokenVm(address: InstanceAddress, ports: HostPorts): Promise<boolean> {
  const vm = ports.store.instance(address)?.vm;
  if (vm == null) return false;
  if (ports.vms.get(vm.spec.vmId) !== undefined) return await isAlive(vm);
  return (await adoptVm(address, vm, ports)) !== null;
}

/**
 * Undo or finish what the journal of an instance holds; the caller holds the instance's lock. Resolves to whether there
 * was anything. Throws `unavailable`, `instance.cleanup_incomplete`, with the journal kept.
 */
export async function settleJournal(
  address: InstanceAddress,
  context: OperationContext,
  deps: JournaledDeps,
): Promise<boolean> {
  const { ports, journal, store } = deps;
  if (store.instance(address) === undefined) return false;
  const entry = await journal.read(address);
  if (entry === null) return false;
  const { plan, opId } = entry;
  const logger = context.logger.child({ settling: opId, operation: plan.operation });
  const rest = plan.onFailure === 'commit' ? await stepsAfterCommit(plan, ports) : null;
  if (plan.onFailure === 'finish' || rest !== null) {
    logger.warn('finishing an operation that did not end');
    if (plan.operation === 'wake' && !(await findWokenVm(address, ports))) {
      const message = 'the VMM was gone when hostd went on with the wake';
      await reapWoken(address, message, context, deps);
      await auditLoss(address, message, context, deps);
      return true;
    }
    const outcome = await executePlan({ ...plan, steps: rest ?? plan.steps }, ports, logger);
    if (!outcome.ok) throw cleanupIncomplete(plan, outcome.error);
  } else if (plan.onFailure === 'undo' && store.instance(address)?.status === COMPLETE[plan.operation]) {
    logger.info('an operation was complete, only its journal was left');
  } else {
    logger.warn('undoing an operation that did not end');
    if (!(await undoSteps(plan, ports, logger))) throw cleanupIncomplete(plan, null);
    if (plan.steps.some(({ kind }) => kind === 'vm.pause')) {
      await markResumePending(address, ports.layout).catch((error: unknown) => {
        logger.warn({ err: error }, 'the guest will not hear that it goes on');
      });
    }
    if (plan.operation === 'start') {
      await recordStartFailure(address, 'hostd ended while the instance was being started', '', deps);
    }
  }
  await journal.end(address);
  return true;
}
