import type { Decision, Pass, PoolStatus, Problem, StatusCounts } from '@mvm/agentd-api';
import { toApiError } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import { toActionView } from './actions.js';
import type { ActionOutcome } from './execute.js';
import type { ObservedHost, Plan } from './types.js';

/** Problems that are no obstacle: an operator's hold, instances that were replaced, fields that mvm does not act on. */
const INTENDED: ReadonlySet<Problem['kind']> = new Set([
  'hold',
  'unmanaged',
  'protected',
  'failed',
  'completed',
  'outdated',
  'ignored',
]);
/** Problems that end without anybody doing anything. */
const PASSING: ReadonlySet<Problem['kind']> = new Set(['backoff', 'waiting']);

/** Whether a plan leaves nothing to do and nothing in the way. */
export function isConverged(plan: Plan): boolean {
  return plan.actions.length === 0 && plan.problems.every(({ kind }) => INTENDED.has(kind));
}

/** Whether nothing more will happen until an operator changes something. */
export function isSettled(plan: Plan): boolean {
  return plan.actions.length === 0 && plan.problems.every(({ kind }) => !PASSING.has(kind));
}

/** Instances by state; destroyed ones are not counted. */
export function countByStatus(instances: readonly InstanceView[]): StatusCounts {
  const counts: StatusCounts = { created: 0, ready: 0, running: 0, warm: 0, sleeping: 0, stopped: 0 };
  for (const { status } of instances) if (status !== 'destroyed') counts[status] += 1;
  return counts;
}

/** Wanted and actual of every pool that a plan looked at. */
export function poolStatuses(plan: Plan, observed: ObservedHost): PoolStatus[] {
  return plan.pools.map(({ tenant_id, pool_id, wanted, held }) => {
    const isOurs = (item: { tenant_id: string; pool_id: string | null }): boolean =>
      item.tenant_id === tenant_id && item.pool_id === pool_id;
    const obstacles = plan.problems.filter((problem) => isOurs(problem) && !INTENDED.has(problem.kind));
    const pending = plan.actions.some((action) => 'pool_id' in action && isOurs(action));
    const actual = countByStatus(observed.instances.filter(isOurs));
    const ofTenant = plan.actions.some(
      ({ kind, tenant_id: id }) => kind === 'ensure_tenant' && id === tenant_id,
    );
    return {
      tenant_id,
      pool_id,
      wanted: { ...wanted },
      actual,
      held,
      converged: obstacles.length === 0 && !pending && !ofTenant,
    };
  });
}

/** An outcome as the API shows it. */
export function toDecision(outcome: ActionOutcome, pass: number): Decision {
  return {
    ...toActionView(outcome.action),
    at: new Date(outcome.startedAtMs).toISOString(),
    pass,
    duration_ms: Math.round(outcome.durationMs),
    error: outcome.error === null ? null : toApiError(outcome.error),
  };
}

export type Trigger = Pass['trigger'];
