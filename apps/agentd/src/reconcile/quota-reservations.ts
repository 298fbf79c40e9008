import type { InstanceResources, InstanceView, Quotas } from '@mvm/protocol';
import { leadsTo } from './leads-to.js';

/** What a quota refused, as a reason (`quota.<field>`) and a sentence. */
export interface QuotaRefusal {
  readonly reason: string;
  readonly message: string;
  /** True when only operations under way are in the way: what they lead to leaves room. */
  readonly passing: boolean;
}

interface Usage {
  running: number;
  warm: number;
  vcpus: number;
  memMib: number;
  diskMib: number;
  readonly perPool: Map<string, number>;
}

/**
 * What a tenant uses of its quotas while a plan is made, in two tallies: `held`, as hostd counts now (an operation under
 * way holds what it starts from and what it leads to, each once), and `settled`, when every operation under way has ended
 * in the state that it leads to. What exceeds `settled` is refused for good; what only exceeds `held` is refused for
 * now. INVARIANT: `start`, `warm` and `create` either refuse and change nothing, or count what they allow; stops are not
 * counted before they have been observed.
 */
export class QuotaReservations {
  readonly #quotas: Quotas;
  readonly #held = noUsage();
  readonly #settled = noUsage();

  constructor(quotas: Quotas, instances: readonly InstanceView[]) {
    this.#quotas = quotas;
    for (const view of instances) {
      const [now, then] = [view.status, leadsTo(view)];
      addInstance(this.#held, view.pool_id, view.resources);
      if (then !== 'destroyed') addInstance(this.#settled, view.pool_id, view.resources);
      if (isOn(now) || isOn(then)) addRunning(this.#held, view.resources);
      if (isOn(then)) addRunning(this.#settled, view.resources);
      if (now === 'warm' || then === 'warm') this.#held.warm += 1;
      if (then === 'warm') this.#settled.warm += 1;
    }
  }

  /** Allow one more running instance, or say which quota is in the way. */
  start(resources: InstanceResources): QuotaRefusal | null {
    const quotas = this.#quotas;
    return this.#allow(
      (usage) => addRunning(usage, resources),
      ({ running, vcpus, memMib }) =>
        over('max_running', running, quotas.max_running, 'running and warm instances') ??
        over('max_vcpus', vcpus, quotas.max_vcpus, 'vCPUs of running and warm instances') ??
        over('max_mem_mib', memMib, quotas.max_mem_mib, 'MiB of running and warm instances'),
    );
  }

  /** Allow one more warm instance, or say that the quota is in the way. */
  warm(): QuotaRefusal | null {
    return this.#allow(
      (usage) => {
        usage.warm += 1;
      },
      ({ warm }) => over('max_warm', warm, this.#quotas.max_warm, 'warm instances'),
    );
  }

  /** Allow one more instance in a pool, or say which quota is in the way. */
  create(poolId: string, resources: InstanceResources): QuotaRefusal | null {
    const quotas = this.#quotas;
    return this.#allow(
      (usage) => addInstance(usage, poolId, resources),
      ({ perPool, diskMib }) =>
        over(
          'max_instances_per_pool',
          perPool.get(poolId) ?? 0,
          quotas.max_instances_per_pool,
          'instances in the pool',
        ) ?? over('max_disk_gib', diskMib / 1024, quotas.max_disk_gib, 'GiB of data disks'),
    );
  }

  #allow(
    add: (usage: Usage) => void,
    exceeds: (usage: Usage) => Omit<QuotaRefusal, 'passing'> | null,
  ): QuotaRefusal | null {
    for (const [usage, passing] of [
      [this.#settled, false],
      [this.#held, true],
    ] as const) {
      const tried = { ...usage, perPool: new Map(usage.perPool) };
      add(tried);
      const refusal = exceeds(tried);
      if (refusal !== null) return { ...refusal, passing };
    }
    add(this.#settled);
    add(this.#held);
    return null;
  }
}

function noUsage(): Usage {
  return { running: 0, warm: 0, vcpus: 0, memMib: 0, diskMib: 0, perPool: new Map() };
}

/** A running instance takes vCPUs and memory, and a warm one does. */
function isOn(status: InstanceView['status']): boolean {
  return status === 'running' || status === 'warm';
}

function addRunning(usage: Usage, { vcpus, mem_mib }: InstanceResources): void {
  usage.running += 1;
  usage.vcpus += vcpus;
  usage.memMib += mem_mib;
}

function addInstance(usage: Usage, poolId: string, { data_disk_mib }: InstanceResources): void {
  usage.perPool.set(poolId, (usage.perPool.get(poolId) ?? 0) + 1);
  usage.diskMib += data_disk_mib;
}

function over(
  field: keyof Quotas,
  wouldBe: number,
  limit: number,
  what: string,
): Omit<QuotaRefusal, 'passing'> | null {
  if (wouldBe <= limit) return null;
  const shown = Number.isInteger(wouldBe) ? wouldBe : wouldBe.toFixed(2);
  return {
    reason: `quota.${field}`,
    message: `the tenant's quota ${field} is ${limit}, and one more would make ${shown} ${what}`,
  };
}
