import { executePlan, type PlanFailure } from '../execute/execute-plan.js';
import type { Plan } from '../execute/step.js';
import type { OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';

/**
 * Journal a plan and run it; the caller holds the instance's lock. The journal is cleared only when the plan is complete
 * or completely undone. `onFailure` comes before a journal is cleared, and returns what is thrown.
 */
export async function runJournaled(
  plan: Plan,
  { opId, logger }: OperationContext,
  { ports, journal }: OperationDeps,
  onFailure: (failure: PlanFailure) => Promise<unknown> = async ({ error }) => error,
): Promise<void> {
  const began = performance.now();
  await journal.begin(opId, plan);
  logger.debug({ step: 'journal', ms: performance.now() - began }, 'step done');
  const outcome = await executePlan(plan, ports, logger, async (completed) => {
    if (completed === plan.steps.length) return;
    // It decides nothing: what is done is not undone because its progress cannot be written.
    await journal.progress(opId, plan, completed).catch((error: unknown) => {
      logger.warn({ err: error }, 'the progress of an operation could not be recorded');
    });
  });
  const error = outcome.status === 'done' ? null : await onFailure(outcome);
  if (outcome.status === 'done' || outcome.status === 'undone') await journal.end(plan.address);
  if (outcome.status !== 'done') throw error;
}
