import { assertTransition, type InstanceResources, type StopReason } from '@mvm/protocol';
import type { PoolImages } from '../execute/pool-images.js';
import type { HostPorts } from '../execute/ports.js';
import type { LaunchArgs, Plan, PlannedImage } from '../execute/step.js';
import { requireManifest } from '../execute/steps/suspend.js';
import { type EndInput, planDestroy, planReap, planStop } from '../plan/plan-end.js';
import { assertStartable, instancePort, planStart } from '../plan/plan-start.js';
import { planPause, planSleep, planWake, wokenResources } from '../plan/plan-suspend.js';
import type { InstanceAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { requireInstance, requirePool, requireTenant, type StateStore } from '../state/store.js';
import type { Clock } from './operation-context.js';
import type { Reservations } from './reservations.js';

/**
 * From an address to the plan of an operation: the records and claims of this moment go into the planner. Everything
 * here is synchronous and changes nothing, so that what was checked still holds when the caller claims it.
 */
export interface PrepareDeps {
  readonly store: StateStore;
  readonly reservations: Reservations;
  readonly clock: Clock;
  readonly vmUidBase: number;
  readonly accelerator: 'kvm' | 'tcg';
}

export interface SleepOptions {
  /** Skip the drain. */
  readonly force: boolean;
  /** Null: the pool's. */
  readonly drainTimeoutSecs: number | null;
}

/** A plan that makes an instance run, and what it is to claim of its tenant's quota meanwhile. */
export interface ClaimingPlan {
  readonly plan: Plan;
  readonly claim: InstanceResources;
}

function endInput(instance: InstanceRecord, { store, vmUidBase }: PrepareDeps): EndInput {
  return { tenant: requireTenant(store, instance.tenant_id), instance, vmUidBase };
}

/** What a start boots, read before it is planned. Throws `not_found`, `instance.invalid_transition`, and as `forStart`. */
export async function findStartImage(
  address: InstanceAddress,
  { store }: Pick<PrepareDeps, 'store'>,
  images: PoolImages,
): Promise<PlannedImage> {
  assertStartable(requireInstance(store, address));
  return images.forStart(address);
}

/**
 * How the VM of a sleeping instance is launched, read before its wake is planned. Throws `not_found`,
 * `instance.invalid_transition`, `snapshot.missing` and `snapshot.damaged`.
 */
export async function findWakeLaunch(
  address: InstanceAddress,
  { store }: Pick<PrepareDeps, 'store'>,
  ports: Pick<HostPorts, 'layout'>,
): Promise<LaunchArgs> {
  assertTransition(requireInstance(store, address).status, 'wake');
  return (await requireManifest(address, ports)).launch;
}

/** What a sleep does before it is planned: how long the guest may drain, in seconds; null: it does not. */
export function sleepDrainSecs(
  address: InstanceAddress,
  options: SleepOptions,
  { store }: Pick<PrepareDeps, 'store'>,
): number | null {
  const { status } = requireInstance(store, address);
  assertTransition(status, 'sleep');
  if (status !== 'running' || options.force) return null;
  return options.drainTimeoutSecs ?? requirePool(store, address).runtime_policy.drain_timeout_seconds;
}

/** A start with the pool's present resources. Throws what `planStart` throws, and `not_found`. */
export function prepareStart(address: InstanceAddress, image: PlannedImage, deps: PrepareDeps): ClaimingPlan {
  const { store, reservations, clock, vmUidBase, accelerator } = deps;
  const instance = requireInstance(store, address);
  const tenant = requireTenant(store, address.tenant_id);
  const pool = requirePool(store, address);
  const { vcpus, mem_mib, data_disk_mib } = pool.instance_resources;
  const secretScopes = pool.secret_scopes;
  const resources = { vcpus, mem_mib, data_disk_mib };
  const usage = reservations.runningUsage(address.tenant_id, address);
  const plan = planStart(
    { tenant, instance, resources, image, secretScopes, usage, vmUidBase, accelerator },
    { now: clock.now() },
  );
  return { plan, claim: resources };
}

/** A wake of what the snapshot launches. Throws what `planWake` throws, and `not_found`. */
export function prepareWake(address: InstanceAddress, launch: LaunchArgs, deps: PrepareDeps): ClaimingPlan {
  const instance = requireInstance(deps.store, address);
  const usage = deps.reservations.runningUsage(address.tenant_id, address);
  const secretScopes = requirePool(deps.store, address).secret_scopes;
  const input = { ...endInput(instance, deps), launch, usage, secretScopes };
  const plan = planWake(input, { now: deps.clock.now() });
  return { plan, claim: wokenResources(instance, launch) };
}

/** A sleep as it goes on after the drain. Throws what `planSleep` throws, and `not_found`. */
export function prepareSleep(address: InstanceAddress, deps: PrepareDeps): Plan {
  const instance = requireInstance(deps.store, address);
  const compression = requirePool(deps.store, address).snapshot_compression;
  return planSleep({ ...endInput(instance, deps), compression }, { now: deps.clock.now() });
}

/** A pause in memory, or its end. Throws what `planPause` throws, and `not_found`. */
export function preparePause(
  address: InstanceAddress,
  operation: 'warm' | 'resume',
  deps: PrepareDeps,
): Plan {
  const instance = requireInstance(deps.store, address);
  const tenant = requireTenant(deps.store, address.tenant_id);
  const warm = deps.reservations.warmCount(address.tenant_id, address);
  return planPause({ tenant, instance, warm }, operation, { now: deps.clock.now() });
}

/** A stop by request. Throws what `planStop` throws, and `not_found`. */
export function prepareStop(address: InstanceAddress, deps: PrepareDeps): Plan {
  return planStop(endInput(requireInstance(deps.store, address), deps), { now: deps.clock.now() });
}

/** Cleaning up after a VM that is gone. Throws `not_found`. */
export function prepareReap(address: InstanceAddress, reason: StopReason, deps: PrepareDeps): Plan {
  return planReap(endInput(requireInstance(deps.store, address), deps), reason);
}

/** A destroy. Throws what `planDestroy` throws, and `not_found`. */
export function prepareDestroy(address: InstanceAddress, wipeVolumes: boolean, deps: PrepareDeps): Plan {
  return planDestroy(endInput(requireInstance(deps.store, address), deps), { wipeVolumes });
}

/**
 * The port of an instance whose VM runs or may run, for reconciling the network; null when it has none. Between the
 * record of a VM and the commit of its start or wake, its status does not tell yet.
 */
export function recordedPort(
  instance: InstanceRecord,
  vmUidBase: number,
): ReturnType<typeof instancePort> | null {
  const mayRun = instance.vm != null || ['running', 'warm'].includes(instance.status);
  return mayRun && instance.net != null ? instancePort(instance, vmUidBase) : null;
}
