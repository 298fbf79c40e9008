import type { PoolStatus } from '@mvm/agentd-api';
import type { InstanceActivity, InstanceView } from '@mvm/protocol';
import { instanceStatusSchema } from '@mvm/protocol/schemas';
import { Counter, Gauge, type Registry } from 'prom-client';

const POOL = ['tenant', 'pool'] as const;
const INSTANCE = ['tenant', 'pool', 'instance'] as const;
const STATUSES = instanceStatusSchema.options.filter((status) => status !== 'destroyed');

/** What is exported per pool and per instance, as of one look at the host. */
export interface SeenHost {
  readonly instances: readonly InstanceView[];
  /** Null when hostd cannot tell. */
  readonly activity: readonly InstanceActivity[] | null;
  /** Of the last pass. */
  readonly pools: readonly PoolStatus[];
}

/** The families per pool and per instance. Each call replaces all of them, so that what is gone is not exported. */
export function createInstanceMetrics(registry: Registry): (seen: SeenHost | null) => void {
  const registers = [registry];
  const poolInstances = new Gauge({
    name: 'mvm_pool_instances',
    help: 'Instances of a pool by status.',
    labelNames: [...POOL, 'status'],
    registers,
  });
  const poolWanted = new Gauge({
    name: 'mvm_pool_desired_instances',
    help: 'Instances that the desired state wants of a pool by status (running, warm, sleeping).',
    labelNames: [...POOL, 'status'],
    registers,
  });
  const poolHeld = new Gauge({
    name: 'mvm_pool_held_instances',
    help: 'Instances of a pool that an operator holds.',
    labelNames: POOL,
    registers,
  });
  const poolConverged = new Gauge({
    name: 'mvm_pool_converged',
    help: '1 when a pool is as desired, else 0.',
    labelNames: POOL,
    registers,
  });
  const status = new Gauge({
    name: 'mvm_instance_status',
    help: '1 for the status that an instance has.',
    labelNames: [...INSTANCE, 'status'],
    registers,
  });
  const exits = new Counter({
    name: 'mvm_instance_exits_total',
    help: 'How often the VM of an instance ended without being asked to.',
    labelNames: INSTANCE,
    registers,
  });
  const cpu = new Counter({
    name: 'mvm_instance_cpu_seconds_total',
    help: 'CPU time of the VMM of an instance since it was launched, the guest included.',
    labelNames: INSTANCE,
    registers,
  });
  const memory = new Gauge({
    name: 'mvm_instance_memory_bytes',
    help: 'Memory of the VMM of an instance, the guest included, as its cgroup counts it.',
    labelNames: INSTANCE,
    registers,
  });
  const network = new Counter({
    name: 'mvm_instance_network_bytes_total',
    help: 'Bytes to a guest (receive) and out of it (transmit) since its VM was launched.',
    labelNames: [...INSTANCE, 'direction'],
    registers,
  });
  const families = [poolInstances, poolWanted, poolHeld, poolConverged, status, exits, cpu, memory, network];

  return (seen) => {
    for (const family of families) family.reset();
    if (seen === null) return;
    for (const pool of seen.pools) {
      const labels = { tenant: pool.tenant_id, pool: pool.pool_id };
      for (const [name, count] of Object.entries(pool.wanted))
        poolWanted.set({ ...labels, status: name }, count);
      for (const name of STATUSES) poolInstances.set({ ...labels, status: name }, 0);
      poolHeld.set(labels, pool.held);
      poolConverged.set(labels, pool.converged ? 1 : 0);
    }
    for (const view of seen.instances) {
      const pool = { tenant: view.tenant_id, pool: view.pool_id };
      const labels = { ...pool, instance: view.instance_id };
      poolInstances.inc({ ...pool, status: view.status });
      status.set({ ...labels, status: view.status }, 1);
      exits.inc(labels, view.exit_count ?? 0);
    }
    for (const each of seen.activity ?? []) {
      const labels = { tenant: each.tenant_id, pool: each.pool_id, instance: each.instance_id };
      if (each.cpu_usec !== null) cpu.inc(labels, each.cpu_usec / 1e6);
      if (each.memory_bytes != null) memory.set(labels, each.memory_bytes);
      if (each.rx_bytes !== null) network.inc({ ...labels, direction: 'receive' }, each.rx_bytes);
      if (each.tx_bytes !== null) network.inc({ ...labels, direction: 'transmit' }, each.tx_bytes);
    }
  };
}
