import type { InstanceActivity, InstanceView } from '@mvm/protocol';
import type { DesiredState, SleepPolicy } from '@mvm/protocol/state';
import { addressOf } from './inventory.js';

/** Two looks closer than this say nothing about how busy an instance is between them. */
const MIN_SPAN_MS = 1000;

/** What hostd answered to one `ListActivity`. */
export interface ActivitySample {
  readonly activity: readonly InstanceActivity[];
  /** On the host's monotonic clock, as every time of a record. */
  readonly monotonicMs: number;
}

/** How busy one instance is, and since when it is not. */
export interface ActivityRecord {
  /** Another pid is another VM. */
  readonly pid: number;
  readonly status: InstanceActivity['status'];
  /** Since when it is in this status, as far as agentd has seen it itself. */
  readonly sinceMs: number;
  /** The last time at which it counted as busy; it has been idle since. */
  readonly busyAtMs: number;
  /** Between the last two looks; null before the second one, and when the host does not tell. */
  readonly cpuPercent: number | null;
  readonly bytesPerSecond: number | null;
  /** The counters of the look at `countedAtMs`. */
  readonly countedAtMs: number;
  readonly cpuUsec: number | null;
  readonly bytes: number | null;
}

/** By `tenant/pool/instance`, of instances in pools with a sleep policy that run or are warm. */
export type ActivityRecords = Readonly<Record<string, ActivityRecord>>;

/**
 * The records after one more look. What an instance did before agentd looked at it first, or before another VM of it was
 * launched, is not known: it counts as busy then, and so it does while an operation on it is under way or a session in it is open, when it begins to
 * run, and when the host does not tell. A warm one stays as idle as it was. No clock of agentd's is read. Pure.
 */
export function activityAfterObserving(
  before: ActivityRecords,
  sample: ActivitySample,
  desired: DesiredState,
  {
    instances,
    inUse = new Set(),
  }: { readonly instances: readonly InstanceView[]; readonly inUse?: ReadonlySet<string> },
): ActivityRecords {
  const policies = new Map<string, SleepPolicy>();
  for (const { tenant_id, pools } of desired.tenants) {
    for (const { pool_id, sleep_policy } of pools) {
      if (sleep_policy != null) policies.set(`${tenant_id}/${pool_id}`, sleep_policy);
    }
  }
  const busy = new Set([...inUse, ...instances.filter(({ operation }) => operation !== null).map(addressOf)]);
  const after: Record<string, ActivityRecord> = {};
  for (const entry of sample.activity) {
    const policy = policies.get(`${entry.tenant_id}/${entry.pool_id}`);
    if (policy === undefined) continue;
    const address = addressOf(entry);
    after[address] = recordOf(entry, {
      before: before[address],
      nowMs: sample.monotonicMs,
      policy,
      isBusy: busy.has(address),
    });
  }
  return after;
}

function recordOf(
  entry: InstanceActivity,
  look: {
    readonly before: ActivityRecord | undefined;
    readonly nowMs: number;
    readonly policy: SleepPolicy;
    readonly isBusy: boolean;
  },
): ActivityRecord {
  const { before, nowMs, policy, isBusy } = look;
  const bytes = entry.rx_bytes === null || entry.tx_bytes === null ? null : entry.rx_bytes + entry.tx_bytes;
  const counted = { countedAtMs: nowMs, cpuUsec: entry.cpu_usec, bytes };
  const { pid, status } = entry;
  if (before === undefined || before.pid !== pid || before.countedAtMs > nowMs) {
    const unknown = { cpuPercent: null, bytesPerSecond: null };
    return { pid, status, sinceMs: nowMs, busyAtMs: nowMs, ...unknown, ...counted };
  }
  const sinceMs = before.status === status ? before.sinceMs : nowMs;
  const begins = status === 'running' && before.status !== 'running';
  const busyAtMs = begins || (isBusy && status === 'running') ? nowMs : before.busyAtMs;
  const spanMs = nowMs - before.countedAtMs;
  if (spanMs < MIN_SPAN_MS) return { ...before, status, sinceMs, busyAtMs };
  const cpuPercent = perMs(before.cpuUsec, entry.cpu_usec, spanMs, 0.1);
  const bytesPerSecond = perMs(before.bytes, bytes, spanMs, 1000);
  const isIdle =
    cpuPercent !== null &&
    cpuPercent <= policy.cpu_threshold &&
    bytesPerSecond !== null &&
    bytesPerSecond <= policy.net_bytes_threshold;
  const seen = status === 'running' && !isIdle ? nowMs : busyAtMs;
  return { pid, status, sinceMs, busyAtMs: seen, cpuPercent, bytesPerSecond, ...counted };
}

function perMs(before: number | null, after: number | null, spanMs: number, scale: number): number | null {
  // A counter that went back is another one's.
  if (before === null || after === null || after < before) return null;
  return ((after - before) / spanMs) * scale;
}
