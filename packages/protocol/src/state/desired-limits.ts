import type { Quotas } from '../objects.js';
import type { DesiredPool, DesiredState, DesiredTenant } from './desired-state.js';

/** A place of a desired state, as the path from its root, and what is wrong there. */
export interface DesiredProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/**
 * What a desired state asks for and can never reach, because its own quotas forbid it: more instances of a pool, more
 * running or warm ones, more vCPUs, memory or disk than the tenant may have. Pure; empty when there is nothing. A state
 * that has such places can be parsed: hosts that had it before keep what they reached.
 */
export function findUnreachableCounts(state: DesiredState): DesiredProblem[] {
  return state.tenants.flatMap((tenant, t) =>
    findInTenant(tenant).map(({ path, message }) => ({ path: ['tenants', t, ...path], message })),
  );
}

function findInTenant({ quotas, pools }: DesiredTenant): DesiredProblem[] {
  const problems: DesiredProblem[] = [];
  pools.forEach(({ desired_counts: { running, warm, sleeping } }, p) => {
    const all = running + warm + sleeping;
    if (all <= quotas.max_instances_per_pool) return;
    const message = `${all} instances together can never be: the tenant's quota max_instances_per_pool is ${quotas.max_instances_per_pool}`;
    problems.push({ path: ['pools', p, 'desired_counts'], message });
  });
  const sum = (of: (pool: DesiredPool) => number): number =>
    pools.reduce((total, pool) => total + of(pool), 0);
  const on = ({ desired_counts: { running, warm } }: DesiredPool): number => running + warm;
  const wanted: readonly (readonly [keyof Quotas, number, number, string])[] = [
    ['max_pools', pools.length, quotas.max_pools, 'pools'],
    ['max_running', sum(on), quotas.max_running, 'running and warm instances'],
    ['max_warm', sum(({ desired_counts }) => desired_counts.warm), quotas.max_warm, 'warm instances'],
    [
      'max_vcpus',
      sum((pool) => on(pool) * pool.instance_resources.vcpus),
      quotas.max_vcpus,
      'vCPUs of running and warm instances',
    ],
    [
      'max_mem_mib',
      sum((pool) => on(pool) * pool.instance_resources.mem_mib),
      quotas.max_mem_mib,
      'MiB of running and warm instances',
    ],
    [
      'max_disk_gib',
      sum((pool) => (on(pool) + pool.desired_counts.sleeping) * pool.instance_resources.data_disk_mib) / 1024,
      quotas.max_disk_gib,
      'GiB of data disks',
    ],
  ];
  for (const [quota, need, limit, what] of wanted) {
    if (need <= limit) continue;
    const shown = Number.isInteger(need) ? need : need.toFixed(2);
    const message = `the pools want ${shown} ${what} together, and ${quota} allows ${limit}: that can never be`;
    problems.push({ path: ['quotas', quota], message });
  }
  return problems;
}
