import type { InstanceResources, InstanceView, Quotas } from '@mvm/protocol';

/** What a quota refused, as a reason (`quota.<field>`) and a sentence. */
export interface QuotaRefusal {
  readonly reason: string;
  readonly message: string;
}

/** Whether an instance takes vCPUs and memory now, or will when the operation under way has ended. A warm one does. */
export function countsAsRunning(view: InstanceView): boolean {
  return (
    view.status === 'running' ||
    view.status === 'warm' ||
    view.operation === 'start' ||
    view.operation === 'wake'
  );
}

/**
 * What a tenant uses of its quotas while a plan is made. INVARIANT: `start`, `warm` and `create` either refuse and change
 * nothing, or count what they allow; stops are not counted before they have been observed.
 */
export class QuotaLedger {
  readonly #quotas: Quotas;
  #running = 0;
  #warm = 0;
  #vcpus = 0;
  #memMib = 0;
  #diskMib = 0;
  readonly #perPool = new Map<string, number>();

  constructor(quotas: Quotas, instances: readonly InstanceView[]) {
    this.#quotas = quotas;
    for (const view of instances) {
      this.#add(view.pool_id, view.resources);
      if (countsAsRunning(view)) this.#run(view.resources);
      if (view.status === 'warm' || view.operation === 'warm') this.#warm += 1;
    }
  }

  /** Allow one more running instance, or say which quota is in the way. */
  start(resources: InstanceResources): QuotaRefusal | null {
    const quotas = this.#quotas;
    const refusal =
      over('max_running', this.#running + 1, quotas.max_running, 'running and warm instances') ??
      over(
        'max_vcpus',
        this.#vcpus + resources.vcpus,
        quotas.max_vcpus,
        'vCPUs of running and warm instances',
      ) ??
      over(
        'max_mem_mib',
        this.#memMib + resources.mem_mib,
        quotas.max_mem_mib,
        'MiB of running and warm instances',
      );
    if (refusal === null) this.#run(resources);
    return refusal;
  }

  /** Allow one more warm instance, or say that the quota is in the way. */
  warm(): QuotaRefusal | null {
    const refusal = over('max_warm', this.#warm + 1, this.#quotas.max_warm, 'warm instances');
    if (refusal === null) this.#warm += 1;
    return refusal;
  }

  /** Allow one more instance in a pool, or say which quota is in the way. */
  create(poolId: string, resources: InstanceResources): QuotaRefusal | null {
    const quotas = this.#quotas;
    const diskGib = (this.#diskMib + resources.data_disk_mib) / 1024;
    const refusal =
      over(
        'max_instances_per_pool',
        (this.#perPool.get(poolId) ?? 0) + 1,
        quotas.max_instances_per_pool,
        'instances in the pool',
      ) ?? over('max_disk_gib', diskGib, quotas.max_disk_gib, 'GiB of data disks');
    if (refusal === null) this.#add(poolId, resources);
    return refusal;
  }

  #run(resources: InstanceResources): void {
    this.#running += 1;
    this.#vcpus += resources.vcpus;
    this.#memMib += resources.mem_mib;
  }

  #add(poolId: string, resources: InstanceResources): void {
    this.#perPool.set(poolId, (this.#perPool.get(poolId) ?? 0) + 1);
    this.#diskMib += resources.data_disk_mib;
  }
}

function over(field: keyof Quotas, wouldBe: number, limit: number, what: string): QuotaRefusal | null {
  if (wouldBe <= limit) return null;
  const shown = Number.isInteger(wouldBe) ? wouldBe : wouldBe.toFixed(2);
  return {
    reason: `quota.${field}`,
    message: `the tenant's quota ${field} is ${limit}, and one more would make ${shown} ${what}`,
  };
}
