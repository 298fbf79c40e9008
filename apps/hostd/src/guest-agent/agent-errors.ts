import { CodedError } from '@mvm/protocol';
import type { GuestAgentRequest } from '@mvm/protocol/guest';

type Asked = GuestAgentRequest['type'];

/** `unavailable`, reason `guest_agent.unreachable`. */
export function unreachable(why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'guest_agent.unreachable',
    message: `no channel to the guest's agent: ${why}`,
    cause,
  });
}

/** `failed_precondition`, reason `guest_agent.refused`. What the guest says is quoted and cut. */
export function refused(asked: Asked, said: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'guest_agent.refused',
    message: `the guest's agent refused ${asked}: ${JSON.stringify(said.slice(0, 200))}`,
  });
}

/** `failed_precondition`, reason `guest_agent.nonsense`. */
export function nonsense(asked: Asked): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'guest_agent.nonsense',
    message: `the guest's agent does not answer ${asked} but other things`,
  });
}

/** `canceled`, reason `request.canceled`. */
export function canceled(asked: Asked, cause: unknown): CodedError {
  return new CodedError({
    code: 'canceled',
    reason: 'request.canceled',
    message: `${asked} to the guest's agent was canceled`,
    cause,
  });
}

/** `deadline_exceeded`, reason `guest_agent.no_answer`. */
export function noAnswer(asked: Asked, timeoutMs: number, cause: unknown): CodedError {
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'guest_agent.no_answer',
    message: `the guest's agent did not answer ${asked} within ${timeoutMs} ms`,
    hint: 'the guest may have no agent, or be busy: look at its console with mvm instance logs',
    cause,
  });
}
