import type { Step, StepPlan } from '../execute/step.js';

/** What a request would do now. */
export interface PlannedOperation {
  /** Null: there are no steps. */
  readonly onFailure: StepPlan['onFailure'] | null;
  readonly steps: readonly Step[];
  /** What is no step, and matters to who reads the plan. */
  readonly notes: readonly string[];
}

/** Plans that run one after the other, as one. */
export function plannedOperation(plans: readonly StepPlan[], notes: readonly string[]): PlannedOperation {
  const steps = plans.flatMap((plan) => plan.steps);
  return { onFailure: steps.length === 0 ? null : (plans[0]?.onFailure ?? null), steps, notes };
}
