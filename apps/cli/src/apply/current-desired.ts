import { CodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { CliContext } from '../context.js';

/** The desired state in force and its revision; `not_found`, reason `desired.none`, when there is none. */
export async function currentDesired(
  context: CliContext,
): Promise<{ readonly desired: DesiredState; readonly revision: string }> {
  const agentd = await context.agentd();
  const { desired, revision } = await agentd.getDesired({}, { signal: context.signal });
  if (desired !== null && revision !== null) return { desired, revision };
  throw new CodedError({
    code: 'not_found',
    reason: 'desired.none',
    message: 'this host has no desired state yet',
    hint: 'mvm apply --help shows a complete one',
  });
}
