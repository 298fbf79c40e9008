import type { HostdClient } from '@mvm/hostd-client';
import { CodedError, isCodedError } from '@mvm/protocol';
import { type DesiredState, findUnreachableCounts } from '@mvm/protocol/state';
import { requestFor } from '../reconcile/requests.js';
import type { Plan } from '../reconcile/types.js';

/** How many places an error lists. */
const MAX_LISTED = 5;

/** Refuse, `invalid_argument` with reason `desired_state.unreachable`, a state whose own quotas forbid its counts. */
export function refuseUnreachable(desired: DesiredState): void {
  const problems = findUnreachableCounts(desired).map(
    ({ path, message }) => `${renderPath(path)}: ${message}`,
  );
  if (problems.length > 0) throw unreachable(problems);
}

/**
 * Refuse, `failed_precondition` with reason `desired_state.older`, a state whose `sequence` is below that of the state in
 * force. States without one, or with 0, are taken in any order.
 */
export function refuseOlder(desired: DesiredState, inForce: DesiredState | undefined): void {
  const [sequence, newest] = [desired.sequence ?? 0, inForce?.sequence ?? 0];
  if (sequence === 0 || sequence >= newest) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'desired_state.older',
    message: `the state in force has sequence ${newest}, and this one is older: ${sequence}`,
    hint: 'Apply the newest state. To go back to an older one, give it a higher sequence, or none.',
    details: { sequence, in_force: newest },
  });
}

/**
 * Refuse a state that this host can never reach: a subnet outside its range, and what hostd, asked for a plan, says that
 * it refuses as long as the host is as it is (a tenant's network that changes under its instances). Asks hostd once per
 * tenant that is to change, at most as often as the plan has actions. Throws `invalid_argument` or `failed_precondition`
 * with reason `desired_state.unreachable`, and the errors of `HostdClient.request`.
 */
export async function refuseWhatHostdRefuses(client: HostdClient, planned: Plan): Promise<void> {
  const outside = planned.problems.filter(
    ({ kind, reason }) => kind === 'blocked' && reason.startsWith('net.'),
  );
  if (outside.length > 0) throw unreachable(outside.map((each) => `${each.tenant_id}: ${each.message}`));
  for (const action of planned.actions) {
    if (action.kind !== 'ensure_tenant') continue;
    const request = requestFor(action);
    if (request.type !== 'EnsureTenant') continue;
    await client.request({ type: 'PlanRequest', request }).catch((error: unknown) => {
      if (!isCodedError(error) || !isLasting(error)) return;
      throw unreachable([`${action.tenant_id}: ${error.message}`], error);
    });
  }
}

/** Whether trying again cannot help. Other refusals may end with what the same state changes beside it. */
function isLasting({ code, reason }: CodedError): boolean {
  return code === 'invalid_argument' || reason === 'tenant.net_in_use';
}

function renderPath(path: readonly (string | number)[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
    .join('')
    .slice(1);
}

function unreachable(problems: readonly string[], cause?: CodedError): CodedError {
  const listed = problems.slice(0, MAX_LISTED);
  if (problems.length > listed.length) listed.push(`and ${problems.length - listed.length} more`);
  return new CodedError({
    code: cause?.code ?? 'invalid_argument',
    reason: 'desired_state.unreachable',
    message: `this host can never be as the desired state says: ${listed.join('; ')}`,
    details: { problems: problems.length },
    hint: cause?.hint ?? 'Correct the places that are named and apply again; nothing was changed.',
    cause,
  });
}
