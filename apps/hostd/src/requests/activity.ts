import type { InstanceActivity } from '@mvm/protocol';
import type { InstanceRecord } from '../state/records.js';
import { readTapCounters, type TapCounters } from '../system/tap-counters.js';
import { readCpuUsec } from '../vmm/process/process-identity.js';
import type { VmRecord } from '../vmm/vmm.js';
import type { RequestHandler, RequestServices } from './handler.js';
import { takePage } from './page.js';

/** An instance whose VM is watched, and that is in a state in which it has one. */
interface Active {
  readonly record: InstanceRecord;
  readonly status: InstanceActivity['status'];
  readonly vm: VmRecord;
}

function* activeInstances({ ports }: RequestServices): Generator<Active> {
  const { store, vms } = ports;
  for (const tenant of store.tenants()) {
    for (const pool of store.poolsOf(tenant.tenant_id)) {
      for (const record of store.instancesOf(pool)) {
        const { status } = record;
        if (status !== 'running' && status !== 'warm') continue;
        const vm = record.vm == null ? undefined : vms.get(record.vm.spec.vmId)?.handle.record;
        if (vm !== undefined) yield { record, status, vm };
      }
    }
  }
}

/** Two files per VM are read, and one for all TAPs; neither a VMM nor a guest is asked. */
export const listActivity: RequestHandler<'ListActivity'> = async (request, services) => {
  const page = takePage(activeInstances(services), {
    idsOf: ({ record }) => [record.tenant_id, record.pool_id, record.instance_id],
    view: (active) => active,
    cursor: request.cursor,
    limit: request.limit,
    parts: 3,
  });
  const taps: ReadonlyMap<string, TapCounters> =
    page.items.length === 0 ? new Map() : await readTapCounters();
  const activity = await Promise.all(page.items.map((active) => activityOf(active, taps, services)));
  return {
    type: 'Activity',
    activity,
    monotonic_ms: Number(process.hrtime.bigint() / 1_000_000n),
    next_cursor: page.next,
  };
};

async function activityOf(
  { record, status, vm }: Active,
  taps: ReadonlyMap<string, TapCounters>,
  { ports }: RequestServices,
): Promise<InstanceActivity> {
  const { tenant_id, pool_id, instance_id } = record;
  const tap = taps.get(vm.spec.vmId);
  const memoryBytes = await ports.cgroups.memoryBytes(vm.spec.vmId);
  return {
    tenant_id,
    pool_id,
    instance_id,
    status,
    pid: vm.pid,
    cpu_usec: (await ports.cgroups.cpuUsec(vm.spec.vmId)) ?? (await readCpuUsec(vm)),
    rx_bytes: tap?.rxBytes ?? null,
    rx_packets: tap?.rxPackets ?? null,
    tx_bytes: tap?.txBytes ?? null,
    tx_packets: tap?.txPackets ?? null,
    ...(memoryBytes === null ? {} : { memory_bytes: memoryBytes }),
  };
}
