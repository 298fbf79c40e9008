import type { Condition, Hold } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import type { DesiredPool } from '@mvm/protocol/state';
import type { ActivityRecord } from './activity.js';
import { leastRunning, wakesOnConnect } from './idle-counts.js';

/** What `mvm why` knows of an instance. */
export interface Situation {
  readonly view: Pick<InstanceView, 'status' | 'operation' | 'stop_reason'>;
  readonly pool: DesiredPool;
  readonly hold: Hold | null;
  readonly protection: 'pinned' | 'critical' | null;
  /** How many instances of the pool run. */
  readonly running: number;
  /** Sessions that are open in it: `mvm exec`, a forwarded port. */
  readonly sessions: number;
  readonly activity: { readonly record: ActivityRecord; readonly nowMs: number } | null;
}

/** One action that agentd could take by itself, with everything that has to hold first. */
export interface NextAction {
  readonly action: string;
  readonly conditions: Condition[];
}

/** What agentd could do next with an instance, and what is missing for it: the planner's own rules, for people. Pure. */
export function nextActions(situation: Situation): NextAction[] {
  const { view, pool } = situation;
  if (pool.sleep_policy == null) return [];
  const { warm_threshold_secs: warm, sleep_threshold_secs: sleep } = pool.sleep_policy;
  const next: NextAction[] = [];
  if (view.status === 'running' && warm !== null && !wakesOnConnect(pool)) {
    next.push({ action: 'warm', conditions: suspending(situation, warm) });
  }
  if ((view.status === 'running' || view.status === 'warm') && sleep !== null) {
    next.push({ action: 'sleep', conditions: suspending(situation, sleep) });
  }
  if (view.status === 'sleeping' && wakesOnConnect(pool)) {
    next.push({ action: 'wake', conditions: waking(situation) });
  }
  return next;
}

function condition(name: string, must: string, now: string, met: boolean): Condition {
  return { name, must, now, met };
}

function alone({ view, hold, protection }: Situation): Condition[] {
  return [
    condition(
      'hold',
      'no operator holds it',
      hold === null ? 'not held' : `${hold.kind} until ${hold.until}`,
      hold === null,
    ),
    condition(
      'operation',
      'no operation is under way on it',
      view.operation ?? 'none',
      view.operation === null,
    ),
    condition(
      'protection',
      'its pool is not pinned or critical',
      protection ?? 'neither',
      protection === null,
    ),
  ];
}

function suspending(situation: Situation, seconds: number): Condition[] {
  const { view, pool, running, activity, sessions } = situation;
  const policy = pool.sleep_policy;
  if (policy == null) return [];
  const idleSeconds =
    activity === null ? null : Math.floor((activity.nowMs - activity.record.busyAtMs) / 1000);
  const inState = activity === null ? null : Math.floor((activity.nowMs - activity.record.sinceMs) / 1000);
  const { min_running_seconds, min_warm_seconds } = pool.runtime_policy;
  const least = view.status === 'warm' ? min_warm_seconds : min_running_seconds;
  const { cpuPercent = null, bytesPerSecond = null } = activity?.record ?? {};
  const told = (value: number | null, unit: string): string =>
    value === null ? 'not known yet' : `${Math.round(value * 100) / 100} ${unit}`;
  const fewest = leastRunning(pool);
  return [
    condition(
      'idle_seconds',
      `idle for ${seconds} s`,
      told(idleSeconds, 's'),
      idleSeconds !== null && idleSeconds >= seconds,
    ),
    ...(view.status === 'running'
      ? [
          condition(
            'cpu_percent',
            `its VMM uses at most ${policy.cpu_threshold} % of a CPU`,
            told(cpuPercent, '%'),
            cpuPercent !== null && cpuPercent <= policy.cpu_threshold,
          ),
          condition(
            'net_bytes_per_second',
            `its TAP carries at most ${policy.net_bytes_threshold} bytes/s`,
            told(bytesPerSecond, 'bytes/s'),
            bytesPerSecond !== null && bytesPerSecond <= policy.net_bytes_threshold,
          ),
          condition(
            'sessions',
            'no session is open in it (mvm exec, a forwarded port)',
            `${sessions} open`,
            sessions === 0,
          ),
          condition('min_running', `more than ${fewest} of the pool run`, `${running} run`, running > fewest),
        ]
      : []),
    condition(
      `${view.status}_seconds`,
      `${view.status} for ${least} s`,
      told(inState, 's'),
      inState !== null && inState >= least,
    ),
    ...alone(situation),
  ];
}

function waking(situation: Situation): Condition[] {
  const { view, pool, running } = situation;
  const ports = pool.network_policy?.publish?.flatMap(({ protocol, host_port }) =>
    protocol === 'tcp' ? [host_port] : [],
  );
  const failed = view.stop_reason?.kind === 'wake_failed';
  return [
    condition('connection', `a connection to TCP port ${ports?.join(' or ')}`, 'none waits', false),
    condition('running', 'no other instance of the pool runs', `${running} run`, running === 0),
    condition(
      'snapshot',
      'its last wake could use the snapshot',
      failed ? (view.stop_reason?.message ?? '') : 'yes',
      !failed,
    ),
    ...alone(situation),
  ];
}
