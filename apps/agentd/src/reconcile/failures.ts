import type { CodedError, InstanceView } from '@mvm/protocol';
import { failureKey } from './actions.js';
import type { RestartFields } from './restart.js';
import type { FailureRecord } from './types.js';

/** How failures space out attempts: `baseMs`, doubled per failure in a row, at most `capMs`. */
export interface BackoffPolicy {
  readonly baseMs: number;
  readonly capMs: number;
  /** A VM that ran at least this long before it ended on its own begins a new row. */
  readonly stableMs: number;
}

/** After the clock was set, hostd and agentd may differ by this much in how far; no VM starts and ends again as fast. */
const CLOCK_SLACK_MS = 50;

/** Codes with which the same attempt fails again until an operator changes something. */
const TERMINAL: ReadonlySet<string> = new Set([
  'invalid_argument',
  'permission_denied',
  'unimplemented',
  'protocol_mismatch',
]);

/** Whether waiting is useless: tried again at the longest interval only, and reported as blocked. */
export function isTerminal(record: FailureRecord): boolean {
  return TERMINAL.has(record.code);
}

/** Milliseconds to wait after the `count`-th failure in a row (1 or more). */
export function backoffMs(count: number, policy: BackoffPolicy): number {
  return Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(count - 1, 30));
}

/** How the pool's failures in a row space out starts: its own times, or else agentd's. */
function backoffOf({ restart }: RestartFields, policy: BackoffPolicy): BackoffPolicy {
  const baseMs = restart?.backoff_secs === undefined ? policy.baseMs : restart.backoff_secs * 1000;
  const capMs = restart?.max_backoff_secs === undefined ? policy.capMs : restart.max_backoff_secs * 1000;
  return { ...policy, baseMs, capMs: Math.max(baseMs, capMs) };
}

/** The record after one more failure. */
export function recordFailure(
  before: FailureRecord | undefined,
  error: Pick<CodedError, 'code' | 'reason' | 'message'>,
  nowMs: number,
  policy: BackoffPolicy,
): FailureRecord {
  const count = (before?.count ?? 0) + 1;
  const { code, reason, message } = error;
  const delay = TERMINAL.has(code) ? policy.capMs : backoffMs(count, policy);
  return { count, lastAtMs: nowMs, retryAtMs: nowMs + delay, code, reason, message };
}

/** The records with their times moved by `ms`, by which the wall clock was set. Pure. */
export function failuresMoved(
  failures: Readonly<Record<string, FailureRecord>>,
  ms: number,
): Readonly<Record<string, FailureRecord>> {
  return Object.fromEntries(
    Object.entries(failures).map(([key, record]) => [
      key,
      { ...record, lastAtMs: record.lastAtMs + ms, retryAtMs: record.retryAtMs + ms },
    ]),
  );
}

/**
 * The failure histories after an observation: an instance that ended on its own since the last look counts as a failed
 * start, so that a guest that crashes again and again is started less and less often; histories of starts whose instance
 * is gone, or has been running for `stableMs`, are dropped, others `stableMs` after their next attempt was due. Pure.
 */
export function failuresAfterObserving(
  before: Readonly<Record<string, FailureRecord>>,
  instances: readonly InstanceView[],
  nowMs: number,
  policy: BackoffPolicy,
  /** Of the instance's pool. */
  restartOf: (view: InstanceView) => RestartFields = () => ({}),
): Readonly<Record<string, FailureRecord>> {
  const after: Record<string, FailureRecord> = {};
  const byKey = new Map(
    instances.map((view) => [
      failureKey('start', `${view.tenant_id}/${view.pool_id}/${view.instance_id}`),
      view,
    ]),
  );
  for (const [key, record] of Object.entries(before)) {
    if (!key.startsWith('start ')) {
      if (nowMs - record.retryAtMs < policy.stableMs) after[key] = record;
      continue;
    }
    const view = byKey.get(key);
    if (view !== undefined && !isStable(view, nowMs, policy)) after[key] = record;
  }
  for (const [key, view] of byKey) {
    const stop = view.stop_reason;
    if (view.status !== 'stopped' || stop === null || stop.kind !== 'exited') continue;
    const stoppedAtMs = Date.parse(stop.at);
    const known = after[key];
    if (
      !Number.isFinite(stoppedAtMs) ||
      (known !== undefined && known.lastAtMs + CLOCK_SLACK_MS >= stoppedAtMs)
    )
      continue;
    const ranMs = view.last_started_at === null ? 0 : stoppedAtMs - Date.parse(view.last_started_at);
    const error = {
      code: 'aborted',
      reason: 'instance.exited',
      message: `it ended on its own: ${stop.message}`,
    } as const;
    const own = backoffOf(restartOf(view), policy);
    after[key] = recordFailure(ranMs >= policy.stableMs ? undefined : known, error, stoppedAtMs, own);
  }
  return after;
}

function isStable(view: InstanceView, nowMs: number, policy: BackoffPolicy): boolean {
  if (view.status !== 'running' || view.last_started_at === null) return false;
  return nowMs - Date.parse(view.last_started_at) >= policy.stableMs;
}
