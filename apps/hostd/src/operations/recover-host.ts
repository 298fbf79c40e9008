import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { policiesOf } from '@mvm/net-executor';
import { parseTapName } from '@mvm/protocol/names';
import type { HostNetwork, HostPorts } from '../execute/ports.js';
import { recordedPort } from '../plan/port.js';
import { errnoOf } from '../state/fs-error.js';
import type { InstanceAddress } from '../state/layout.js';
import { addressText } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import type { OperationContext } from './operation-context.js';
import { createOperationSlots } from './operation-slots.js';
import { pauseBefore } from './reap-on-exit.js';
import type { OperationRunner } from './runner.js';

export interface RecoveryReport {
  readonly settled: number;
  readonly adopted: number;
  readonly lost: number;
  /** Processes, cgroups and socket directories that no record names. */
  readonly swept: number;
  /** Instances that could not be brought in order yet; that is tried again, and first by the next operation on them. */
  readonly failed: number;
  /** Instances that are still being brought in order: hostd serves meanwhile, and an operation on one waits for it. */
  readonly pending: number;
}

const PARALLEL = 8;
/** The longest that all instances together keep hostd from serving. */
const RECOVERED_WITHIN_MS = 10_000;
/** hostd serves earlier when none was brought in order for so long: a VMM may be silent. */
const QUIET_MS = 2_000;
/** Others are begun then. */
const SLOW_MS = 1_000;

function allInstances({ store }: HostPorts): InstanceRecord[] {
  return store.tenants().flatMap((tenant) => store.instancesOfTenant(tenant.tenant_id));
}

/** The network that the records ask for: every tenant whose network is up, with the ports of what runs. */
function recordedNetwork(ports: HostPorts, vmUidBase: number): Parameters<HostNetwork['reconcile']>[0] {
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
 * until it is done, because its VM is not watched before. Never fails.
 */
async function recoverLater(
  address: InstanceAddress,
  runner: OperationRunner,
  context: OperationContext,
  signal: AbortSignal,
): Promise<void> {
  const instance = addressText(address);
  for (let trial = 1; await pauseBefore(trial, signal); trial += 1) {
    try {
      const found = await runner.adopt(address, context);
      context.logger.info({ instance, found }, 'instance is recovered');
      if (found === 'adopted') void runner.notifyGuestResumed(address, context);
      return;
    } catch (error) {
      context.logger.warn({ instance, err: error }, 'instance could not be recovered yet');
    }
  }
}

/** What a sweep has done. */
export interface Swept {
  readonly removed: number;
  /** What could not be removed, by its VM's id. */
  readonly left: readonly string[];
}

/**
 * Remove what carries our names and belongs to no VM that runs: processes, cgroups, socket directories. VMs in `keep` are
 * left alone. What cannot be removed is logged and left. With a damaged record nothing is swept, because what seems to
 * belong to no instance may be that one's.
 */
async function sweepOrphans(
  ports: HostPorts,
  keep: ReadonlySet<string>,
  context: OperationContext,
): Promise<Swept> {
  const { vms, store } = ports;
  if (store.damaged.length > 0) {
    context.logger.warn('orphans are not swept while a record is damaged');
    return { removed: 0, left: [] };
  }
  const isOrphan = (vmId: string): boolean =>
    parseTapName(vmId) !== null && vms.get(vmId) === undefined && !keep.has(vmId);
  const left: string[] = [];
  let removed = 0;
  const found = await findTraces(ports).catch((error: unknown) => {
    context.logger.error({ err: error }, 'the search for orphans failed');
    return [];
  });
  for (const vmId of found.filter(isOrphan)) {
    context.logger.warn({ vm: vmId }, 'removing leftovers of an unknown VM');
    try {
      await removeTraces(vmId, ports);
      removed += 1;
    } catch (error) {
      left.push(vmId);
      context.logger.error({ vm: vmId, err: error }, 'leftovers of a VM could not be removed yet');
    }
  }
  return { removed, left };
}

/** The ids of all VMs that left a process, a cgroup or a socket directory. */
async function findTraces({ layout, processes, cgroups }: HostPorts): Promise<string[]> {
  const sockets = await readdir(layout.vmSocketsDir).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  });
  const ofProcesses = (await processes.find(null)).map(({ vmId }) => vmId);
  return [...new Set([...ofProcesses, ...(await cgroups.list()), ...sockets])];
}

async function removeTraces(vmId: string, { layout, processes, cgroups }: HostPorts): Promise<void> {
  await cgroups.kill(vmId);
  await processes.kill(vmId);
  await cgroups.remove(vmId);
  await rm(join(layout.vmSocketsDir, vmId), { recursive: true, force: true });
}

/** Sweep again what a sweep has left, unless an instance has come to have that id: its own operations clean up. Never fails. */
async function sweepLater(
  left: readonly string[],
  ports: HostPorts,
  context: OperationContext,
  signal: AbortSignal,
): Promise<void> {
  const remaining = new Set(left);
  for (let trial = 1; remaining.size > 0 && (await pauseBefore(trial, signal)); trial += 1) {
    for (const vmId of remaining) {
      // Read again each time: another one's removal takes its time, in which instances are created.
      if (!allInstances(ports).some(({ net }) => net?.tap_dev === vmId)) {
        try {
          await removeTraces(vmId, ports);
        } catch (error) {
          context.logger.warn({ vm: vmId, err: error }, 'leftovers of a VM could not be removed yet');
          continue;
        }
      }
      remaining.delete(vmId);
    }
  }
}

/** `over` resolves when nothing has happened for `quietMs`, at the latest after `atMostMs`. */
function createQuietPeriod(
  quietMs: number,
  atMostMs: number,
): { readonly over: Promise<void>; somethingHappened(): void; end(): void } {
  let resolve: () => void = () => {};
  const over = new Promise<void>((settle) => {
    resolve = settle;
  });
  const longest = setTimeout(resolve, atMostMs);
  let quiet: NodeJS.Timeout | null = setTimeout(resolve, quietMs);
  return {
    over,
    somethingHappened: () => void quiet?.refresh(),
    end: () => {
      clearTimeout(longest);
      if (quiet !== null) clearTimeout(quiet);
      quiet = null;
    },
  };
}

/**
 * Bring the host in line with the records after whatever ended the last hostd: network first (it removes TAPs that
 * no record names), then interrupted operations, then living VMs, then unowned leftovers. An instance that cannot
 * be brought in order is logged, does not keep the others, or the daemon, from starting, and is tried again until `signal`.
 * One that takes its time is brought in order while hostd serves already.
 */
export async function recoverHost(
  ports: HostPorts,
  runner: OperationRunner,
  vmUidBase: number,
  context: OperationContext,
  signal: AbortSignal,
): Promise<RecoveryReport> {
  const report = { settled: 0, adopted: 0, lost: 0, swept: 0, failed: 0, pending: 0 };
  for (const { path, problem } of ports.store.damaged) {
    context.logger.error(
      { path, problem },
      'a record is damaged: its object cannot be used until it is repaired',
    );
  }
  await ports.network.reconcile(recordedNetwork(ports, vmUidBase));
  const slots = createOperationSlots(PARALLEL, SLOW_MS);
  const instances = allInstances(ports);
  const unclear = new Set(instances);
  const recoverOne = async (instance: InstanceRecord): Promise<void> => {
    const { tenant_id, pool_id, instance_id } = instance;
    const address = { tenant_id, pool_id, instance_id };
    try {
      if (await runner.recover(address, context)) report.settled += 1;
      const found = await runner.adopt(address, context);
      if (found !== 'none') report[found] += 1;
      unclear.delete(instance);
      // A slow guest delays only the operations on itself.
      if (found === 'adopted') void runner.notifyGuestResumed(address, context);
    } catch (error) {
      report.failed += 1;
      context.logger.error(
        { instance: addressText(address), err: error },
        'instance could not be recovered yet',
      );
      void recoverLater(address, runner, context, signal);
    }
  };
  const quiet = createQuietPeriod(QUIET_MS, RECOVERED_WITHIN_MS);
  const all = Promise.all(
    instances.map((instance) =>
      slots.run(instance.tenant_id, () => recoverOne(instance)).then(quiet.somethingHappened),
    ),
  );
  await Promise.race([all, quiet.over]);
  quiet.end();
  const keep = new Set([...unclear].flatMap(({ net }) => net?.tap_dev ?? []));
  report.pending = unclear.size - report.failed;
  const { removed, left } = await sweepOrphans(ports, keep, context);
  report.swept = removed;
  void sweepLater(left, ports, context, signal);
  return { ...report };
}
