import type { NetworkStatus } from '@mvm/agentd-api';
import type { NetworkDriftView, NetworkReport } from '@mvm/protocol';

/** As many drifts as status lists and as are followed one by one. */
const MAX_LISTED = 50;

/** A drift, and since when every verification has found it. Times are milliseconds since 1970. */
export interface FollowedDrift {
  readonly drift: NetworkDriftView;
  readonly sinceMs: number;
}

/** What the verifications so far have come to. */
export interface DriftHistory {
  readonly followed: readonly FollowedDrift[];
}

export const NO_DRIFT: DriftHistory = { followed: [] };

function idOf({ object, name, state }: NetworkDriftView): string {
  return `${object} ${state} ${name}`;
}

/** The history after one more verification: what it found, each with its first sighting; the rest is forgotten. */
export function trackDrift(before: DriftHistory, report: NetworkReport, nowMs: number): DriftHistory {
  const since = new Map(before.followed.map(({ drift, sinceMs }) => [idOf(drift), sinceMs]));
  return {
    followed: report.drifts
      .slice(0, MAX_LISTED)
      .map((drift) => ({ drift, sinceMs: since.get(idOf(drift)) ?? nowMs })),
  };
}

/** The history with its times moved by `ms`, by which the wall clock was set. Pure. */
export function historyMoved({ followed }: DriftHistory, ms: number): DriftHistory {
  return { followed: followed.map((one) => ({ ...one, sinceMs: one.sinceMs + ms })) };
}

/** Drifts that have stood for at least `persistsMs`: hostd, which looks by itself, should have repaired them. */
export function persistentDrifts(
  { followed }: DriftHistory,
  persistsMs: number,
  nowMs: number,
): readonly FollowedDrift[] {
  return followed.filter(({ sinceMs }) => nowMs - sinceMs >= persistsMs);
}

/** The history and its last report as the API shows them. */
export function networkStatus(
  history: DriftHistory,
  report: NetworkReport,
  at: { readonly verifiedAtMs: number; readonly persistsMs: number },
): NetworkStatus {
  return {
    verified_at: new Date(at.verifiedAtMs).toISOString(),
    duration_ms: report.duration_ms,
    kinds: report.kinds,
    drift_count: report.drift_count,
    drifts: history.followed.map(({ drift, sinceMs }) => ({
      ...drift,
      since: new Date(sinceMs).toISOString(),
    })),
    persistent: persistentDrifts(history, at.persistsMs, at.verifiedAtMs).length,
    error: null,
  };
}
