import type { Logger } from 'pino';
import type { HostPorts } from './ports.js';
import type { Step, StepKind, StepPlan } from './step.js';
import { NoEffect, type StepExecutor } from './steps/executor.js';
import { stepExecutors } from './steps/table.js';

/** How a plan failed. */
export interface PlanFailure {
  /**
   * `undone`: nothing of the plan is left. `undo_incomplete`: some of its steps could not be undone. `committed`: it is to
   * be finished, and was not undone: such is its rule, or its commit point has taken effect.
   */
  readonly status: 'undone' | 'undo_incomplete' | 'committed';
  /** What stopped it. */
  readonly error: unknown;
  readonly failedStep: Step;
  readonly plan: StepPlan;
}

/** How a plan ended. */
export type PlanOutcome = { readonly status: 'done' } | PlanFailure;

/** The executor of a step with its arguments bound; the only place where the two meet untyped. */
function bind(
  step: Step,
  ports: HostPorts,
): {
  execute(): Promise<void>;
  prefetch(signal: AbortSignal): Promise<void>;
  undo(): Promise<void>;
  committed: (() => Promise<boolean>) | null;
  revertCommit: (() => Promise<void>) | null;
} {
  const executor = stepExecutors[step.kind] as StepExecutor<StepKind>;
  const { committed, revertCommit } = executor;
  return {
    execute: () => executor.execute(step, ports),
    prefetch: async (signal) => executor.prefetch?.(step, ports, signal),
    undo: () => executor.undo(step, ports),
    committed: committed === undefined ? null : () => committed(step, ports),
    revertCommit: revertCommit === undefined ? null : () => revertCommit(step, ports),
  };
}

/**
 * The steps after a plan's commit point when that has taken effect, as the files tell; null when it has not, or the
 * plan has none.
 */
export async function stepsAfterCommit(plan: StepPlan, ports: HostPorts): Promise<readonly Step[] | null> {
  for (const [index, step] of plan.steps.entries()) {
    const { committed } = bind(step, ports);
    if (committed !== null) return (await committed()) ? plan.steps.slice(index + 1) : null;
  }
  return null;
}

/**
 * Whether a plan of which a step has failed is to be finished. Its commit point is reverted first when nothing can have
 * followed from it: it failed itself, or the first step after it, which had no effect.
 */
async function isCommittedAfter(
  plan: StepPlan,
  failed: { readonly index: number; readonly hadNoEffect: boolean },
  ports: HostPorts,
  logger: Logger,
): Promise<boolean> {
  if (plan.onFailure !== 'commit') return plan.onFailure === 'finish';
  const rest = await stepsAfterCommit(plan, ports);
  if (rest === null) return false;
  const index = plan.steps.length - rest.length - 1;
  const step = plan.steps[index] as Step;
  const { revertCommit } = bind(step, ports);
  const hasFollowed = failed.index > index + 1 || (failed.index === index + 1 && !failed.hadNoEffect);
  if (hasFollowed || revertCommit === null) return true;
  try {
    const at = { operation: plan.operation, kind: step.kind, index, undo: true };
    await ports.hooks.step(at, revertCommit);
  } catch (error) {
    logger.error({ step: step.kind, err: error }, 'a commit point could not be reverted');
  }
  return (await stepsAfterCommit(plan, ports)) !== null;
}

/**
 * Undo steps in reverse order, each one even when another fails. Resolves to whether all of them could be; the
 * failures are logged.
 */
export async function undoSteps(
  { operation, steps }: Pick<StepPlan, 'operation' | 'steps'>,
  ports: HostPorts,
  logger: Logger,
): Promise<boolean> {
  let complete = true;
  for (const [index, step] of [...steps.entries()].reverse()) {
    const at = { operation, kind: step.kind, index, undo: true };
    try {
      await ports.hooks.step(at, () => bind(step, ports).undo());
    } catch (error) {
      complete = false;
      logger.error({ step: step.kind, err: error }, 'step could not be undone');
    }
  }
  return complete;
}

/** Everything of a plan that may be done before its step's turn, begun. `end` gives up what still runs. */
function beginPrefetch(
  plan: StepPlan,
  ports: HostPorts,
): { of(index: number): Promise<void>; end(): Promise<void> } {
  const abort = new AbortController();
  const begun = plan.steps.map((step) => bind(step, ports).prefetch(abort.signal));
  const settled = Promise.allSettled(begun);
  return {
    of: async (index) => begun[index],
    end: async () => {
      abort.abort();
      await settled;
    },
  };
}

/**
 * Run a plan step by step, stopping at the first failure; then undo it when that is its rule. `onStepDone` gets the
 * number of steps that are complete. Never throws for a failing step: the outcome says what happened.
 */
export async function executePlan(
  plan: StepPlan,
  ports: HostPorts,
  logger: Logger,
  onStepDone: (completed: number) => Promise<void> = async () => {},
): Promise<PlanOutcome> {
  const prefetch = beginPrefetch(plan, ports);
  for (const [index, step] of plan.steps.entries()) {
    const began = performance.now();
    try {
      logger.trace({ step: step.kind, args: step }, 'step begins');
      const at = { operation: plan.operation, kind: step.kind, index, undo: false };
      await ports.hooks.step(at, async () => {
        await prefetch.of(index);
        await bind(step, ports).execute();
      });
      logger.debug({ step: step.kind, ms: performance.now() - began }, 'step done');
      await onStepDone(index + 1);
    } catch (thrown) {
      const hadNoEffect = thrown instanceof NoEffect;
      const error = hadNoEffect ? thrown.error : thrown;
      logger.warn({ step: step.kind, ms: performance.now() - began, err: error }, 'step failed');
      await prefetch.end();
      const failure = { error, failedStep: step, plan };
      if (await isCommittedAfter(plan, { index, hadNoEffect }, ports, logger)) {
        return { status: 'committed', ...failure };
      }
      const { operation } = plan;
      const isUndone = await undoSteps({ operation, steps: plan.steps.slice(0, index + 1) }, ports, logger);
      return { status: isUndone ? 'undone' : 'undo_incomplete', ...failure };
    }
  }
  return { status: 'done' };
}
