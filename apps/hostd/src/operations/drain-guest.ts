import { CodedError, toCodedError } from '@mvm/protocol';
import type { HostPorts } from '../execute/ports.js';
import type { InstanceRecord } from '../state/records.js';
import type { OperationContext } from './operation-context.js';

/** Longest wait for a guest; setTimeout knows no longer one. */
export const MAX_TIMER_MS = 2_147_483_647;

/** How much of a guest's own words goes into the log, in characters. */
const MAX_DETAIL = 200;

/** What a sleep fails with when another request wants the instance while the guest drains. */
export function sleepCanceled(instance: InstanceRecord): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'instance.sleep_overtaken',
    message: `the sleep of instance ${instance.instance_id} was canceled by another request while the guest drained`,
    hint: 'Look at the state of the instance (mvm instance info), and repeat the sleep if it is still wanted.',
  });
}

/** How a sleep's drain ended, as the audit line tells it. */
export type DrainOutcome = 'drained' | 'refused' | 'timed_out' | 'failed' | 'no_agent';

/**
 * Ask the guest to get ready; nothing that it answers, or does not, keeps the instance awake. Answers how it went.
 * Throws `aborted`,
 * `instance.sleep_overtaken`, when `signal` ends the wait.
 */
export async function drainGuest(
  instance: InstanceRecord,
  options: { readonly timeoutSecs: number; readonly signal: AbortSignal },
  context: OperationContext,
  { vms }: Pick<HostPorts, 'vms'>,
): Promise<DrainOutcome> {
  const { timeoutSecs, signal } = options;
  const live = instance.net == null ? undefined : vms.get(instance.net.tap_dev);
  if (live === undefined || !(await live.handle.hasAgent())) {
    context.logger.info('the guest has no agent to drain it');
    return 'no_agent';
  }
  const channel = live.agent;
  try {
    const request = { type: 'SleepPrep', drain_timeout_secs: timeoutSecs } as const;
    const timeoutMs = Math.min(Math.max(timeoutSecs, 1) * 1000, MAX_TIMER_MS);
    const { success, detail } = await channel.ask(request, { timeoutMs, signal });
    if (success) {
      context.logger.info('the guest is drained');
      return 'drained';
    }
    const said = detail?.slice(0, MAX_DETAIL) ?? null;
    context.logger.warn(
      { detail: said },
      'the guest reported that it is not drained; it is put to sleep anyway',
    );
    return 'refused';
  } catch (error) {
    if (signal.aborted) throw sleepCanceled(instance);
    context.logger.warn({ err: error }, 'the guest did not drain in time; it is put to sleep anyway');
    return toCodedError(error).code === 'deadline_exceeded' ? 'timed_out' : 'failed';
  } finally {
    channel.rest();
  }
}
