import { toCodedError } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import type { PlanFailure } from '../execute/execute-plan.js';
import { adoptVm } from '../execute/live-vm.js';
import { planWake, wokenResources } from '../plan/plan-wake.js';
import { requireManifest } from '../snapshot/snapshot-store.js';
import type { LaunchArgs } from '../state/launch.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance, requirePool } from '../state/store.js';
import { isAlive } from '../vmm/process/process-identity.js';
import type { VmOrigin } from '../vmm/vmm.js';
import { consoleTail } from './console-tail.js';
import { endInput, type InstanceOperation, type OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';
import { reapVm } from './reap.js';
import { lostReason, wakeFailedReason } from './stop-reasons.js';

/** Reasons beside `snapshot.*` for which a snapshot cannot be used until an operator has changed something. */
const SNAPSHOT_REASONS: ReadonlySet<string> = new Set([
  'disk.damaged',
  'disk.in_use',
  'disk.key_missing',
  'disk.other_key',
  'tenant.bad_key',
  'vmm.devices_changed',
  'vmm.not_resumed',
  'vmm.restore_failed',
]);

/**
 * Records that the snapshot of an instance that still sleeps could not be used, and why. Nothing when the wake failed for
 * another reason: no room, a quota, a network that is down.
 */
async function recordWakeFailure(
  address: InstanceAddress,
  thrown: unknown,
  { store, clock }: OperationDeps,
): Promise<void> {
  const instance = store.instance(address);
  const { reason, message } = toCodedError(thrown);
  if (instance?.status !== 'sleeping') return;
  if (!reason.startsWith('snapshot.') && !SNAPSHOT_REASONS.has(reason)) return;
  await store.saveInstance({
    ...instance,
    stop_reason: wakeFailedReason(message, { at: clock.now(), tail: '' }),
  });
}

/**
 * After a wake that failed past its commit point: the memory is lost, and the instance is stopped, cleanly. The plan of the
 * reap takes the place of the wake's in the journal.
 */
export async function reapWoken(
  address: InstanceAddress,
  message: string,
  context: OperationContext,
  deps: OperationDeps,
): Promise<void> {
  const tail = await consoleTail(deps.ports, address, null);
  await reapVm(address, lostReason(message, { at: deps.clock.now(), tail }), context, deps);
}

/** The VM of a wake that is past its commit point: watched already, or adopted now. Whether it is there. */
export async function findWokenVm(
  address: InstanceAddress,
  { ports, store }: OperationDeps,
): Promise<boolean> {
  const vm = store.instance(address)?.vm;
  if (vm == null) return false;
  if (ports.vms.get(vm.spec.vmId) !== undefined) return await isAlive(vm);
  return (await adoptVm(address, vm, ports)) !== null;
}

/** Whether the guest of a wake past its commit point runs, though a step after that failed: then it is finished later. */
async function runsOn(
  { plan: { steps }, failedStep }: PlanFailure,
  address: InstanceAddress,
  { store }: OperationDeps,
): Promise<boolean> {
  const vm = store.instance(address)?.vm;
  const wasResumed = steps.indexOf(failedStep) > steps.findIndex(({ kind }) => kind === 'vm.resume');
  return wasResumed && vm != null && (await isAlive(vm));
}

/** Whether a guest runs from memory that is not the one that was written. */
export function isDamaged({ failedStep, error }: PlanFailure): boolean {
  return failedStep.kind === 'snapshot.check' && toCodedError(error).reason === 'snapshot.damaged';
}

/** What the snapshot says of its VM. */
interface WakeInputs {
  readonly launch: LaunchArgs;
  readonly vmm: VmOrigin['vmm'];
  readonly mapsMemory: boolean;
}

/**
 * Restores a sleeping instance from its snapshot. A sleep that still drains is canceled, which leaves the instance running.
 * Throws what `planWake` throws, `not_found`, `snapshot.missing`, `snapshot.damaged`.
 */
export const wake: InstanceOperation<void, WakeInputs> = {
  name: 'wake',
  cancels: () => ['sleep'],
  isDone: ({ address, canceled }, { store }) =>
    canceled.has('sleep') && requireInstance(store, address).status === 'running',
  prepare: async ({ address }, { store, ports }) => {
    assertTransition(requireInstance(store, address).status, 'wake');
    const { launch, vmm, parts } = await requireManifest(address, ports.layout);
    return { launch, vmm, mapsMemory: parts.some(({ image }) => image !== undefined) };
  },
  readsSecrets: ({ launch }) => launch.hasSecretsDrive === true,
  plan: ({ address }, { launch, vmm, mapsMemory }, deps) => {
    const { store, ports, reservations, clock } = deps;
    const overheadMib = ports.vmm.memoryOverheadMib(launch, vmm);
    const input = endInput(address, deps);
    const usage = reservations.runningUsage(address.tenant_id, address);
    const secretScopes = requirePool(store, address).secret_scopes;
    const resources = wokenResources(input.instance, launch);
    return {
      plan: planWake(
        { ...input, launch, mapsMemory, overheadMib, usage, secretScopes },
        { now: clock.now() },
      ),
      reservation: {
        check: () => reservations.checkStart(address.tenant_id),
        take: () => reservations.reserveStart(address, resources),
      },
    };
  },
  around: async ({ address }, deps, run) => {
    try {
      await run();
    } catch (error) {
      await recordWakeFailure(address, error, deps);
      throw error;
    }
  },
  onFailure: async (failure, { address, context }, _inputs, deps) => {
    if (failure.status === 'committed' && (isDamaged(failure) || !(await runsOn(failure, address, deps)))) {
      await reapWoken(address, `the wake failed: ${toCodedError(failure.error).message}`, context, deps);
    }
    return failure.error;
  },
};
