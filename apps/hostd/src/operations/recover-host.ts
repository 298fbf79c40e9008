import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { policiesOf } from '@mvm/net-executor';
import { parseTapName } from '@mvm/protocol';
import pLimit from 'p-limit';
import type { HostNetwork, HostPorts } from '../execute/ports.js';
import { errnoOf } from '../state/fs-error.js';
import type { InstanceAddress } from '../state/layout.js';
import { addressText } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import type { InstanceOperations } from './instance-operations.js';
import type { OperationContext } from './operation-context.js';
import { recordedPort } from './prepare-instance.js';
import { pauseBefore } from './reap-on-exit.js';

export interface RecoveryReport {
  readonly settled: number;
  readonly adopted: number;
  readonly lost: number;
  /** Processes, cgroups and socket directories that belonged to nobody. */
  readonly swept: number;
  /** Instances that could not be brought in order yet; that is tried again, and first by the next operation on them. */
  readonly failed: number;
}

const PARALLEL = 8;

function allInstances({ store }: HostPorts): InstanceRecord[] {
  return store.tenants().flatMap((tenant) => store.instancesOfTenant(tenant.tenant_id));
}

/** The network that the records ask for: every tenant whose network is up, with the ports of what runs. */
export function recordedNetwork(
  ports: HostPorts,
  vmUidBase: number,
): Parameters<HostNetwork['reconcile']>[0] {
  return {
    tenants: ports.store
      .tenants()
      .filter((tenant) => tenant.network_up !== false)
      .map((tenant) => ({
        net: tenant.net,
        policies: policiesOf(tenant, ports.store.poolsOf(tenant.tenant_id)),
        ports: ports.store
          .instancesOfTenant(tenant.tenant_id)
          .flatMap((instance) => recordedPort(instance, vmUidBase) ?? []),
      })),
  };
}

/**
 * Bring an instance in order that could not be when hostd started: a VMM may be too busy to answer, a disk be full. Tried
 * until it is done, for nobody watches its VM before. Never fails.
 */
async function recoverLater(
  address: InstanceAddress,
  operations: InstanceOperations,
  context: OperationContext,
  signal: AbortSignal,
): Promise<void> {
  const instance = addressText(address);
  for (let trial = 1; await pauseBefore(trial, signal); trial += 1) {
    try {
      const found = await operations.adopt(address, context);
      context.logger.info({ instance, found }, 'instance is recovered');
      if (found === 'adopted') void operations.tellOwedWake(address, context);
      return;
    } catch (error) {
      context.logger.warn({ instance, err: error }, 'instance could not be recovered yet');
    }
  }
}

/**
 * Remove what carries our names and belongs to no VM that runs: processes, cgroups, socket directories. Answers how
 * many. VMs in `keep` are left alone. With a damaged record nothing is swept, because what looks like nobody's may be that instance's.
 */
export async function sweepOrphans(
  ports: HostPorts,
  keep: ReadonlySet<string>,
  context: OperationContext,
): Promise<number> {
  const { layout, vms, processes, cgroups, store } = ports;
  if (store.damaged.length > 0) {
    context.logger.warn('orphans are not swept while a record is damaged');
    return 0;
  }
  const isOrphan = (vmId: string): boolean =>
    parseTapName(vmId) !== null && vms.get(vmId) === undefined && !keep.has(vmId);
  const sockets = await readdir(layout.vmSocketsDir).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  });
  const found = new Set(
    [...(await processes.find(null)).map(({ vmId }) => vmId), ...(await cgroups.list()), ...sockets].filter(
      isOrphan,
    ),
  );
  for (const vmId of found) {
    context.logger.warn({ vm: vmId }, 'removing what a VM of nobody left');
    await cgroups.kill(vmId);
    await processes.kill(vmId);
    await cgroups.remove(vmId);
    await rm(join(layout.vmSocketsDir, vmId), { recursive: true, force: true });
  }
  return found.size;
}

/**
 * Bring the host in line with the records after whatever ended the last hostd: network first (it removes TAPs that
 * nobody recorded), then interrupted operations, then living VMs, then what belongs to nobody. An instance that cannot
 * be brought in order is logged, does not keep the others, or the daemon, from starting, and is tried again until `signal`.
 */
export async function recover(
  ports: HostPorts,
  operations: InstanceOperations,
  vmUidBase: number,
  context: OperationContext,
  signal: AbortSignal,
): Promise<RecoveryReport> {
  const report = { settled: 0, adopted: 0, lost: 0, swept: 0, failed: 0 };
  for (const { path, problem } of ports.store.damaged) {
    context.logger.error(
      { path, problem },
      'a record is damaged: its object cannot be used until it is repaired',
    );
  }
  await ports.network.reconcile(recordedNetwork(ports, vmUidBase));
  const limit = pLimit(PARALLEL);
  const unclear = new Set<string>();
  await Promise.all(
    allInstances(ports).map((instance) =>
      limit(async () => {
        const { tenant_id, pool_id, instance_id } = instance;
        const address = { tenant_id, pool_id, instance_id };
        try {
          if (await operations.settle(address, context)) report.settled += 1;
          const found = await operations.adopt(address, context);
          if (found !== 'none') report[found] += 1;
          // Nobody waits for a guest that takes its time; an operation on it waits its turn.
          if (found === 'adopted') void operations.tellOwedWake(address, context);
        } catch (error) {
          report.failed += 1;
          if (instance.net != null) unclear.add(instance.net.tap_dev);
          context.logger.error(
            { instance: addressText(address), err: error },
            'instance could not be recovered yet',
          );
          void recoverLater(address, operations, context, signal);
        }
      }),
    ),
  );
  report.swept = await sweepOrphans(ports, unclear, context);
  return report;
}
