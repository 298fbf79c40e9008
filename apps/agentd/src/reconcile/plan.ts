import { findNotHonoured } from '@mvm/protocol/state';
import { PHASES } from './actions.js';
import { PlanDraft } from './plan-draft.js';
import { planTenant } from './plan-tenant.js';
import { planUnmanaged } from './plan-unmanaged.js';
import type { Plan, PlanInput } from './types.js';

/**
 * What to do next to bring the host from `observed` to `desired`, and what is in the way. Pure, total and
 * deterministic: the same input gives the same plan. Actions are ordered by phase (see `PHASES`), critical pools first,
 * then one of each pool in turn. At most `context.maxActions`, the rest is left to the next pass. Carrying out any
 * prefix, observing and planning again leads to the same end, where a plan without actions is made.
 *
 * Never planned: more instances than are wanted running, warm and sleeping together, or than a tenant's quotas allow;
 * fewer running ones than are wanted, for the sake of the others; stopping, destroying or removing what is pinned or
 * critical; changing or replacing an instance that is held; an attempt that is not due yet.
 */
export function plan({ desired, observed, overrides, context }: PlanInput): Plan {
  const draft = new PlanDraft(context);
  for (const tenant of desired.tenants) planTenant(draft, tenant, observed, overrides);
  planUnmanaged(draft, desired, observed, overrides);
  for (const { tenant_id, pool_id, message } of findNotHonoured(desired)) {
    const subject = { tenant_id, ...(pool_id === null ? {} : { pool_id }) };
    draft.report('ignored', subject, { reason: 'desired_state.not_honoured', message });
  }

  const ordered = draft.actions
    .toSorted(
      (a, b) => PHASES[a.action.kind] - PHASES[b.action.kind] || a.urgency - b.urgency || a.turn - b.turn,
    )
    .map(({ action }) => action);
  const actions = ordered.slice(0, context.maxActions);
  const left = ordered[actions.length];
  if (left !== undefined) {
    draft.report('waiting', left, {
      reason: 'plan.limit',
      message: `${ordered.length - actions.length} more actions are left to the next pass (at most ${context.maxActions} each)`,
    });
  }
  return { actions, problems: draft.problems, pools: draft.pools };
}
