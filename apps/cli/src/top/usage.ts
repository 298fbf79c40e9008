import type { InstanceActivity, InstanceView } from '@mvm/protocol';
import { compareAddresses, formatAddress, type Scope } from '../address/address.js';

/** What agentd answered to one question for all instances' activity. */
export interface ActivityAnswer {
  readonly activity: readonly InstanceActivity[];
  readonly monotonic_ms: number;
}

/** How busy one instance was between two answers; null where that is not known. */
export interface Usage {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
  readonly status: InstanceActivity['status'];
  /** Percent of one CPU of the host. */
  readonly cpu_percent: number | null;
  readonly memory_bytes: number | null;
  /** What its guest sees as its memory. */
  readonly guest_memory_bytes: number | null;
  readonly rx_bytes_per_second: number | null;
  readonly tx_bytes_per_second: number | null;
}

/**
 * Usage between two answers of the instances in `scope`, by address. Of an instance whose VM was launched between them the
 * rates are not known. Pure.
 */
export function usageBetween(
  before: ActivityAnswer,
  after: ActivityAnswer,
  instances: readonly InstanceView[],
  { tenantId, poolId }: Scope,
): Usage[] {
  const seconds = (after.monotonic_ms - before.monotonic_ms) / 1000;
  const earlier = new Map(before.activity.map((entry) => [formatAddress(entry), entry]));
  const views = new Map(instances.map((view) => [formatAddress(view), view]));
  return after.activity
    .filter(({ tenant_id }) => (tenantId ?? tenant_id) === tenant_id)
    .filter(({ pool_id }) => (poolId ?? pool_id) === pool_id)
    .map((entry): Usage => {
      const was = earlier.get(formatAddress(entry));
      const rate = (from: number | null | undefined, to: number | null): number | null => {
        if (was?.pid !== entry.pid || from == null || to === null || seconds <= 0) return null;
        return Math.max(0, to - from) / seconds;
      };
      const cpuUsec = rate(was?.cpu_usec, entry.cpu_usec);
      const { tenant_id, pool_id, instance_id, status } = entry;
      const memMib = views.get(formatAddress(entry))?.resources.mem_mib;
      return {
        tenant_id,
        pool_id,
        instance_id,
        status,
        cpu_percent: cpuUsec === null ? null : Math.round(cpuUsec / 1000) / 10,
        memory_bytes: entry.memory_bytes ?? null,
        guest_memory_bytes: memMib === undefined ? null : memMib * 1024 * 1024,
        rx_bytes_per_second: rounded(rate(was?.rx_bytes, entry.rx_bytes)),
        tx_bytes_per_second: rounded(rate(was?.tx_bytes, entry.tx_bytes)),
      };
    })
    .toSorted(compareAddresses);
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
