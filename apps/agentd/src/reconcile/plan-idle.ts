import type { InstanceView } from '@mvm/protocol';
import type { DesiredPool, SleepPolicy } from '@mvm/protocol/state';
import type { ActivityRecord, ActivityRecords } from './activity.js';
import { leastRunning, wakesOnConnect } from './idle-counts.js';
import { addressOf, type PoolInput, type PoolInventory } from './inventory.js';
import type { PlanDraft } from './plan-draft.js';
import { readyAt } from './readiness.js';
import type { Rule } from './types.js';

type PolicyPool = DesiredPool & { readonly sleep_policy: SleepPolicy };

/** An instance with what is known of how busy it is. */
interface Known {
  readonly view: InstanceView;
  readonly record: ActivityRecord;
}

/**
 * Pause what is idle, and put to sleep what is idle for longer, as the pool's sleep policy says; the one that is idle the
 * longest first. Left alone: what an operator holds, what an operation is under way on, what has not run for the pool's
 * `min_running_seconds` since it was last seen to begin (or not been warm for `min_warm_seconds`), a guest that still
 * boots, the last `min_running` ones, everything of a pinned or critical pool, and a pool of which more run than it wants.
 */
export function planIdle(draft: PlanDraft, input: PoolInput, inventory: PoolInventory): void {
  const { pool, tenantId } = input;
  if (pool.sleep_policy == null) return;
  const { activity } = draft.context;
  if (activity === undefined) {
    draft.report(
      'blocked',
      { tenant_id: tenantId, pool_id: pool.pool_id },
      {
        reason: 'sleep_policy.no_activity',
        message: 'mvm-hostd does not tell how busy instances are, so none is put to sleep: upgrade mvm-hostd',
      },
    );
    return;
  }
  if (input.protection !== null) return;
  const policyPool: PolicyPool = { ...pool, sleep_policy: pool.sleep_policy };
  sleepWarm(draft, input, policyPool, known(inventory.warm, activity.records));
  suspendRunning(draft, input, policyPool, inventory, activity.records);
}

/** Those with a record that nothing is under way on and nothing is planned for; the longest idle first. */
function known(views: readonly InstanceView[], records: ActivityRecords): Known[] {
  return views
    .flatMap((view) => {
      const record = records[addressOf(view)];
      return record === undefined || view.operation !== null ? [] : [{ view, record }];
    })
    .sort((a, b) => a.record.busyAtMs - b.record.busyAtMs);
}

function isPlanned(draft: PlanDraft, view: InstanceView): boolean {
  return draft.actions.some(({ action }) => 'instance_id' in action && addressOf(action) === addressOf(view));
}

/** How long something has lasted at this look, in milliseconds. */
function lasted(draft: PlanDraft, sinceMs: number): number {
  return (draft.context.activity?.monotonicMs ?? 0) - sinceMs;
}

/** What is warm beyond the pool's own warm count went there by this policy. */
function sleepWarm(draft: PlanDraft, input: PoolInput, pool: PolicyPool, warm: readonly Known[]): void {
  const seconds = pool.sleep_policy.sleep_threshold_secs;
  if (seconds === null) return;
  const beyond = Math.max(0, warm.length - pool.desired_counts.warm);
  const { min_warm_seconds } = pool.runtime_policy;
  for (const { view, record } of warm.slice(0, beyond)) {
    if (isPlanned(draft, view) || record.status !== 'warm') continue;
    if (lasted(draft, record.busyAtMs) < seconds * 1000) continue;
    if (lasted(draft, record.sinceMs) < min_warm_seconds * 1000) continue;
    propose(draft, input, pool, { view, record }, 'sleep');
  }
}

function suspendRunning(
  draft: PlanDraft,
  input: PoolInput,
  pool: PolicyPool,
  inventory: PoolInventory,
  records: ActivityRecords,
): void {
  const { running, keptRunning } = inventory;
  if (running.length + keptRunning.length > pool.desired_counts.running) return;
  // Those on their way may fail to arrive.
  const there = [...running, ...keptRunning].filter(({ operation }) => operation === null).length;
  let leaving = there - leastRunning(pool);
  for (const candidate of known(running, records)) {
    if (leaving <= 0) return;
    const { view, record } = candidate;
    if (isPlanned(draft, view) || record.status !== 'running') continue;
    if (lasted(draft, record.sinceMs) < pool.runtime_policy.min_running_seconds * 1000) continue;
    if (readyAt(view, input.connectedAgents, draft.context) > draft.context.nowMs) continue;
    const next = nextStage(pool, lasted(draft, record.busyAtMs));
    if (next === null) continue;
    if (next === 'warm' && input.reservations.warm() !== null) continue;
    propose(draft, input, pool, candidate, next);
    leaving -= 1;
  }
}

/** What becomes of a running instance that has been idle for so long. */
function nextStage(pool: PolicyPool, idleMs: number): 'sleep' | 'warm' | null {
  const { warm_threshold_secs: warm, sleep_threshold_secs: sleep } = pool.sleep_policy;
  if (sleep !== null && idleMs >= sleep * 1000) return 'sleep';
  // What comes in for a paused guest waits in its TAP unseen, so that a connection could not wake it.
  if (warm === null || wakesOnConnect(pool)) return null;
  return idleMs >= warm * 1000 ? 'warm' : null;
}

function propose(
  draft: PlanDraft,
  input: PoolInput,
  pool: PolicyPool,
  { view, record }: Known,
  kind: 'sleep' | 'warm',
): void {
  const { tenant_id, pool_id, instance_id } = view;
  const address = { tenant_id, pool_id, instance_id };
  const idleSeconds = Math.floor(lasted(draft, record.busyAtMs) / 1000);
  const threshold = kind === 'sleep' ? 'sleep_threshold_secs' : 'warm_threshold_secs';
  const limit = pool.sleep_policy[threshold];
  const what = kind === 'sleep' ? 'put it to sleep' : 'pause it';
  const reason = `idle for ${idleSeconds} s, and the pool's ${threshold} is ${limit} s: ${what}`;
  const rule = ruleOf(pool, record, idleSeconds, lasted(draft, record.sinceMs));
  const place = { urgency: input.urgency };
  if (kind === 'warm') draft.propose({ kind, ...address, reason, rule }, place);
  else {
    const { drain_timeout_seconds } = pool.runtime_policy;
    draft.propose({ kind, ...address, drain_timeout_seconds, reason, rule }, place);
  }
}

/** What the decision was made of, for `mvm why`. */
function ruleOf(pool: PolicyPool, record: ActivityRecord, idleSeconds: number, inStateMs: number): Rule {
  const { warm_threshold_secs, sleep_threshold_secs, cpu_threshold, net_bytes_threshold } = pool.sleep_policy;
  const { min_running_seconds, min_warm_seconds } = pool.runtime_policy;
  return {
    name: 'sleep_policy.idle',
    values: {
      idle_seconds: idleSeconds,
      cpu_percent: record.cpuPercent === null ? null : Math.round(record.cpuPercent * 100) / 100,
      net_bytes_per_second: record.bytesPerSecond === null ? null : Math.round(record.bytesPerSecond),
      [record.status === 'warm' ? 'warm_seconds' : 'running_seconds']: Math.floor(inStateMs / 1000),
    },
    thresholds: {
      warm_threshold_secs,
      sleep_threshold_secs,
      cpu_threshold,
      net_bytes_threshold,
      ...(record.status === 'warm' ? { min_warm_seconds } : { min_running_seconds }),
    },
  };
}
