import type { Problem } from '@mvm/agentd-api';
import type { Trigger } from './status.js';

/** How the loop spaces its passes, in milliseconds. */
export interface Pacing {
  readonly intervalMs: number;
  /** First and longest wait while hostd cannot be reached. */
  readonly reconnectMs: number;
  readonly reconnectCapMs: number;
  /** Passes in a row that may follow at once after one that did something. */
  readonly maxFollowUps: number;
}

/** What the last pass left. */
export interface PassResult {
  readonly failedToObserve: boolean;
  /** Passes in a row that could not observe or were interrupted, this one included. */
  readonly failuresInRow: number;
  readonly actions: number;
  /** Passes in a row that did something, this one included. */
  readonly activeInRow: number;
  readonly problems: readonly Problem[];
}

/** How long to wait for the next pass, and what it will be called. Pure. */
export function nextWait(
  result: PassResult,
  pacing: Pacing,
  nowMs: number,
): { ms: number; trigger: Trigger } {
  if (result.failedToObserve) {
    const doubled = pacing.reconnectMs * 2 ** Math.min(result.failuresInRow - 1, 20);
    return { ms: Math.min(doubled, pacing.reconnectCapMs), trigger: 'retry' };
  }
  if (result.actions > 0 && result.activeInRow <= pacing.maxFollowUps) return { ms: 0, trigger: 'follow_up' };
  const due = result.problems
    .filter(({ until }) => until !== null)
    .map(({ until }) => Date.parse(until ?? '') - nowMs)
    .filter((ms) => ms < pacing.intervalMs);
  // Never below 50 ms: a time that has just passed may be so by this clock only.
  if (due.length > 0) return { ms: Math.max(50, Math.min(...due)), trigger: 'retry' };
  return { ms: pacing.intervalMs, trigger: 'interval' };
}
