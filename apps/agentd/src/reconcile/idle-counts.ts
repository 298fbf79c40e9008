import type { DesiredCounts } from '@mvm/protocol';
import type { DesiredPool } from '@mvm/protocol/state';
import type { PoolInventory } from './inventory.js';

/** Whether a connection to a port of the pool can wake it. */
export function wakesOnConnect({
  sleep_policy,
  network_policy,
}: Pick<DesiredPool, 'sleep_policy' | 'network_policy'>): boolean {
  if (sleep_policy == null || !sleep_policy.wake_on_connect) return false;
  return network_policy?.publish?.some(({ protocol }) => protocol === 'tcp') ?? false;
}

/** How many of a pool's instances must run, however idle they are. */
export function leastRunning({
  sleep_policy,
  desired_counts,
}: Pick<DesiredPool, 'sleep_policy' | 'desired_counts'>): number {
  return sleep_policy == null
    ? desired_counts.running
    : Math.min(sleep_policy.min_running, desired_counts.running);
}

/**
 * The counts that a pool is brought to. In a pool with a sleep policy, an instance that is warm or asleep beyond those
 * counts stands for a running one, as long as `min_running` others run: its guest was idle, or an operator's hold of it has
 * ended. So nothing is woken, booted or discarded only because an idle one sleeps. The sum stays as it is. Pure.
 */
export function countsWithIdle(
  pool: Pick<DesiredPool, 'sleep_policy' | 'desired_counts'>,
  inventory: Pick<PoolInventory, 'running' | 'keptRunning' | 'warm' | 'sleeping'>,
): DesiredCounts {
  const { running, warm, sleeping } = pool.desired_counts;
  if (pool.sleep_policy == null) return { running, warm, sleeping };
  const run = inventory.running.length + inventory.keptRunning.length;
  const open = Math.max(0, running - Math.max(run, leastRunning(pool)));
  const idleWarm = Math.min(open, Math.max(0, inventory.warm.length - warm));
  const idleSleeping = Math.min(open - idleWarm, Math.max(0, inventory.sleeping.length - sleeping));
  return {
    running: running - idleWarm - idleSleeping,
    warm: warm + idleWarm,
    sleeping: sleeping + idleSleeping,
  };
}
