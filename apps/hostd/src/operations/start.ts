import { CodedError, toCodedError } from '@mvm/protocol';
import { programOf } from '../disk/run-overrides.js';
import type { Plan, Step } from '../execute/step.js';
import { assertStartable, planStart } from '../plan/plan-start.js';
import type { PlannedImage } from '../state/launch.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance, requirePool, requireTenant } from '../state/store.js';
import { consoleMark, consoleTail } from './console-tail.js';
import type { InstanceOperation, OperationDeps, Reservation } from './operation.js';
import { startFailedReason } from './stop-reasons.js';

/** What is booted, and where the console stood before. */
export interface BootInputs {
  readonly image: PlannedImage;
  readonly consoleMark: number;
}

/** Records that the start of an instance failed. Nothing when it is not recorded any more. */
export async function recordStartFailure(
  address: InstanceAddress,
  message: string,
  tail: string,
  { store, clock }: OperationDeps,
): Promise<void> {
  const instance = store.instance(address);
  if (instance === undefined) return;
  await store.saveInstance({
    ...instance,
    stop_reason: startFailedReason(message, { at: clock.now(), tail }),
  });
}

/** Reads what a boot needs. Throws `image.not_found`, `image.digest_mismatch`, `image.damaged`. */
export async function prepareBoot(address: InstanceAddress, { ports }: OperationDeps): Promise<BootInputs> {
  return { image: await ports.images.forStart(address), consoleMark: await consoleMark(ports, address) };
}

/** A plan that boots with the pool's present image and resources, and what it reserves. Throws what `planner` throws. */
export function planBoot(
  address: InstanceAddress,
  { image }: BootInputs,
  { store, ports, reservations, clock, vmUidBase, accelerator }: OperationDeps,
  planner: typeof planStart,
): { readonly plan: Plan; readonly reservation: Reservation } {
  const instance = requireInstance(store, address);
  const tenant = requireTenant(store, address.tenant_id);
  const pool = requirePool(store, address);
  const { vcpus, mem_mib, data_disk_mib } = pool.instance_resources;
  const secretScopes = pool.secret_scopes;
  const resources = { vcpus, mem_mib, data_disk_mib };
  const usage = reservations.runningUsage(address.tenant_id, address);
  const overheadMib = ports.vmm.memoryOverheadMib({ accelerator, vcpus, memMib: mem_mib });
  const plan = planner(
    {
      ...{ tenant, instance, resources, image, secretScopes, usage, vmUidBase, accelerator, overheadMib },
      program: programOf(pool),
    },
    { now: clock.now() },
  );
  return {
    plan,
    reservation: {
      check: () => reservations.checkStart(address.tenant_id),
      take: () => {
        const releaseStart = reservations.reserveStart(address, resources);
        const releaseImage = ports.images.hold(address, image.digest);
        return () => {
          releaseStart();
          releaseImage();
        };
      },
    },
  };
}

/** The error of a boot; one that failed in its VM has the last lines of the console. */
export function bootError(error: CodedError, failedStep: Step, tail: string): CodedError {
  if (!failedStep.kind.startsWith('vm.') || tail === '') return error;
  const { code, reason, message, hint, details } = error;
  return new CodedError({
    ...{ code, reason, hint, details, cause: error },
    message: `${message}\nLast lines of the console:\n${tail}`,
  });
}

/**
 * Boots an instance with its pool's present image and resources. Throws what `planStart` throws, `not_found`, and what
 * `prepareBoot` throws.
 */
export const start: InstanceOperation<void, BootInputs> = {
  name: 'start',
  prepare: async ({ address }, deps) => {
    assertStartable(requireInstance(deps.store, address));
    return await prepareBoot(address, deps);
  },
  readsSecrets: () => true,
  plan: ({ address }, inputs, deps) => planBoot(address, inputs, deps, planStart),
  onFailure: async ({ status, error: thrown, failedStep }, { address }, inputs, deps) => {
    const error = toCodedError(thrown);
    const tail = await consoleTail(deps.ports, address, inputs.consoleMark);
    if (status === 'undone') await recordStartFailure(address, error.message, tail, deps);
    return bootError(error, failedStep, tail);
  },
};
