import { type NetworkStatus, toApiError } from '@mvm/agentd-api';
import type { HostdClient } from '@mvm/hostd-client';
import { type ClockOffset, clockJumpMs } from '@mvm/node-host';
import { type CodedError, type NetworkReport, toCodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics/metrics.js';
import {
  type DriftHistory,
  type FollowedDrift,
  historyMoved,
  NO_DRIFT,
  networkStatus,
  persistentDrifts,
  trackDrift,
} from './track-drift.js';

/** At most one part in this many of the time is spent verifying: a verification of 0.5 s waits 10 s for the next. */
const REST = 20;
/** A verification that takes longer than this counts as failed. */
const TIMEOUT_MS = 30_000;

export interface NetworkCheckOptions {
  readonly client: HostdClient;
  readonly metrics: Metrics;
  readonly now: () => number;
  /** How `now` is set. */
  readonly readOffset: () => ClockOffset;
  /** From when on a drift counts as persistent; longer than hostd's own looks are apart. */
  readonly persistsMs: number;
}

/** Verifies the host's network on every pass, and says so when what is wrong stays wrong. */
export interface NetworkCheck {
  /** One verification, unless the last one was too dear for another so soon. Never throws. */
  check(signal: AbortSignal, log: Logger): Promise<void>;
  /** Null before the first verification, and with a hostd that cannot verify. */
  status(): NetworkStatus | null;
}

export function createNetworkCheck(options: NetworkCheckOptions): NetworkCheck {
  const { client, metrics, now, readOffset, persistsMs } = options;
  let clock = readOffset();
  let history: DriftHistory = NO_DRIFT;
  let status: NetworkStatus | null = null;
  let notBefore = Number.NEGATIVE_INFINITY;
  let told: ReadonlySet<string> = new Set();

  function tell(persistent: readonly FollowedDrift[], log: Logger): void {
    const names = new Set(persistent.map(({ drift }) => `${drift.object} ${drift.name}`));
    const fresh = persistent.filter(({ drift }) => !told.has(`${drift.object} ${drift.name}`));
    if (fresh.length > 0) {
      log.warn(
        {
          event: 'network_drift',
          persistent: persistent.length,
          drifts: fresh.slice(0, 10).map(({ drift }) => drift),
        },
        'the network differs from the records, and hostd has not repaired it',
      );
    }
    if (told.size > 0 && names.size === 0) {
      log.info({ event: 'network_in_line' }, 'the network is as recorded again');
    }
    told = names;
  }

  function took(report: NetworkReport, log: Logger): void {
    const at = now();
    const offset = readOffset();
    history = trackDrift(historyMoved(history, clockJumpMs(clock, offset) ?? 0), report, at);
    clock = offset;
    status = networkStatus(history, report, { verifiedAtMs: at, persistsMs });
    const oldest = Math.min(at, ...history.followed.map(({ sinceMs }) => sinceMs));
    metrics.networkVerified(report, (at - oldest) / 1000);
    tell(persistentDrifts(history, persistsMs, at), log);
  }

  function failed(error: CodedError, log: Logger): void {
    // An older hostd that speaks version 2 without this request: nothing to show, and nothing wrong.
    if (error.reason === 'protocol.unknown_message') return;
    metrics.networkNotVerified();
    if (status?.error?.reason !== error.reason) {
      log.warn({ error: toApiError(error) }, 'the network could not be verified');
    }
    const last = status ?? networkStatus(NO_DRIFT, EMPTY, { verifiedAtMs: now(), persistsMs });
    status = { ...last, error: toApiError(error) };
  }

  return {
    async check(signal, log) {
      if (performance.now() < notBefore) return;
      const began = performance.now();
      try {
        took(await client.request({ type: 'VerifyNetwork' }, { signal, timeoutMs: TIMEOUT_MS }), log);
      } catch (error) {
        if (!signal.aborted) failed(toCodedError(error), log);
      }
      const ended = performance.now();
      notBefore = ended + REST * (ended - began);
    },
    status: () => status,
  };
}

const EMPTY: NetworkReport = {
  tenant_id: null,
  kinds: [],
  drifts: [],
  drift_count: 0,
  probes: null,
  duration_ms: 0,
};
