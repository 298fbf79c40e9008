import type { InstanceView } from '@mvm/protocol';

/** How far apart the clocks of hostd and agentd, or a clock's small corrections, may be. */
const SLACK_MS = 60_000;
const LONG_AGO = new Date(0).toISOString();

/**
 * An instance as the planner may wait for it: a time that is still to come was taken before the host's clock was set back,
 * and says nothing of how long ago it was. It counts as long ago, so that nothing waits until the clock comes by it again.
 * Pure.
 */
export function withoutFutureTimes(view: InstanceView, nowMs: number): InstanceView {
  const isToCome = (time: string | null): boolean => time !== null && Date.parse(time) > nowMs + SLACK_MS;
  if (!isToCome(view.status_since) && !isToCome(view.last_started_at)) return view;
  return {
    ...view,
    status_since: isToCome(view.status_since) ? LONG_AGO : view.status_since,
    last_started_at: isToCome(view.last_started_at) ? LONG_AGO : view.last_started_at,
  };
}
