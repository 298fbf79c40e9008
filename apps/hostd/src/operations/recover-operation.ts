import { CodedError, toCodedError } from '@mvm/protocol';
import { executePlan, stepsAfterCommit, undoSteps } from '../execute/execute-plan.js';
import type { HostPorts } from '../execute/ports.js';
import type { OperationName, Plan } from '../execute/step.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { auditLoss } from './audit-exit.js';
import { consoleTail } from './console-tail.js';
import type { OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';
import { hasRebooted, reapRebooted } from './reboot.js';
import { markResumePending } from './resume-pending.js';
import { recordStartFailure } from './start.js';
import { findWokenVm, isDamaged, reapWoken } from './wake.js';

/** The state in which an operation leaves an instance, when its plan is undone after a failure and has not failed. */
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

/**
 * Whether the end of an instance's VM leaves nothing of an operation that did not end: a reboot, or a wake past its commit
 * point. Their instance has a state from which it can be stopped.
 */
export async function isUndoneByEnd(plan: Plan, ports: HostPorts): Promise<boolean> {
  if (plan.operation === 'reboot') return true;
  return plan.operation === 'wake' && (await stepsAfterCommit(plan, ports)) !== null;
}

/**
 * Undo or finish what the journal of an instance holds; the caller holds the instance's lock. Resolves to whether there
 * was anything. Throws `unavailable`, `instance.cleanup_incomplete`, with the journal kept.
 */
export async function recoverOperation(
  address: InstanceAddress,
  context: OperationContext,
  deps: OperationDeps,
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
    if (plan.operation === 'wake' && !(await findWokenVm(address, deps))) {
      const message = 'the VMM was gone when hostd went on with the wake';
      await reapWoken(address, message, context, deps);
      await auditLoss(address, message, context, deps);
      return true;
    }
    const isComplete = plan.operation === 'reboot' && hasRebooted(plan, deps);
    const steps = isComplete ? [] : (rest ?? plan.steps);
    const outcome = await executePlan({ ...plan, steps }, ports, logger);
    if (outcome.status !== 'done' && isDamaged(outcome)) {
      const message = `the wake failed: ${toCodedError(outcome.error).message}`;
      await reapWoken(address, message, context, deps);
      await auditLoss(address, message, context, deps);
      return true;
    }
    if (outcome.status !== 'done') {
      if (plan.operation !== 'reboot') throw cleanupIncomplete(plan, outcome.error);
      await reapRebooted(address, outcome.error, await consoleTail(ports, address, null), context, deps);
      return true;
    }
  } else if (plan.onFailure === 'undo' && store.instance(address)?.status === COMPLETE[plan.operation]) {
    logger.info('an operation was complete, only its journal remained');
  } else {
    logger.warn('undoing an operation that did not end');
    if (!(await undoSteps(plan, ports, logger))) throw cleanupIncomplete(plan, null);
    if (plan.steps.some(({ kind }) => kind === 'vm.pause')) {
      await markResumePending(address, ports.layout).catch((error: unknown) => {
        logger.warn({ err: error }, 'the guest will not be notified that it was resumed');
      });
    }
    if (plan.operation === 'start') {
      await recordStartFailure(address, 'hostd ended while the instance was being started', '', deps);
    }
  }
  await journal.end(address);
  return true;
}
