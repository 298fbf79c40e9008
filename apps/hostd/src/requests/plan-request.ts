import { failurePrefix, METHODS, type PlannableRequest, type PlanView, toCodedError } from '@mvm/protocol';
import { withFailurePrefix } from './failure-prefix.js';
import type { PlannableMethod, RequestPlanner, RequestServices } from './handler.js';
import { jsonBytes, PAGE_BYTES } from './page.js';
import { stepView } from './step-view.js';
import { requestTable } from './table.js';

/** As many views as fit into an answer, in order; the rest is only counted. */
function viewsWithin(views: PlanView['steps'], bytes: number): { shown: PlanView['steps']; left: number } {
  let left = bytes;
  const end = views.findIndex((view) => {
    left -= jsonBytes(view) + 1;
    return left < 0;
  });
  return end < 0 ? { shown: views, left: 0 } : { shown: views.slice(0, end), left: views.length - end };
}

/**
 * What a request would do now. Changes nothing, and is in no audit log. Throws what the request would be refused with,
 * its prefix included.
 */
export async function planRequest(
  request: PlannableRequest,
  services: Pick<RequestServices, 'runner'>,
): Promise<PlanView> {
  const { operation } = METHODS[request.type];
  const entry = requestTable[request.type];
  if (!('plan' in entry)) return { operation, on_failure: null, steps: [], notes: [] };
  try {
    // The table binds each method to its own planner; the request's type selects the entry.
    const plan = entry.plan as RequestPlanner<PlannableMethod>;
    const { onFailure, steps, notes } = await plan(request as never, services);
    const { shown, left } = viewsWithin(steps.map(stepView), PAGE_BYTES);
    const rest = left === 0 ? [] : [`${left} more steps do not fit into an answer`];
    return { operation, on_failure: onFailure, steps: shown, notes: [...notes, ...rest] };
  } catch (error) {
    throw withFailurePrefix(toCodedError(error), failurePrefix(request.type));
  }
}
