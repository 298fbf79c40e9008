import { CodedError, type RequestOf, toCodedError } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import type { Plan, Step } from '../execute/step.js';
import { planReboot } from '../plan/plan-reboot.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance } from '../state/store.js';
import { consoleTail } from './console-tail.js';
import type { InstanceOperation, OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';
import { reapVm } from './reap.js';
import { clearResumePending } from './resume-pending.js';
import { type BootInputs, bootError, planBoot, prepareBoot } from './start.js';
import { gracePeriodNotes, type StopOptions, waitForShutdown } from './stop.js';
import { startFailedReason } from './stop-reasons.js';

/** Without `force`, the guest may shut down first. */
export function parseReboot(request: RequestOf<'RebootInstance'>): StopOptions {
  return { force: request.force ?? false, shutdownTimeoutSecs: request.shutdown_timeout_secs ?? null };
}

/** Whether a reboot was complete, and only its journal was left. */
export function hasRebooted(plan: Plan, { store }: OperationDeps): boolean {
  const commit = plan.steps.find((step) => step.kind === 'instance.commit_running');
  const instance = store.instance(plan.address);
  return commit !== undefined && instance?.status === 'running' && instance.last_started_at === commit.at;
}

/**
 * After a reboot whose new VM does not run: the instance is stopped, cleanly. The plan of the reap takes the place of the
 * reboot's in the journal.
 */
export async function reapRebooted(
  address: InstanceAddress,
  error: unknown,
  tail: string,
  context: OperationContext,
  deps: OperationDeps,
): Promise<void> {
  const message = `the reboot failed: ${toCodedError(error).message}`;
  await reapVm(address, startFailedReason(message, { at: deps.clock.now(), tail }), context, deps);
}

function hasEndedVm(steps: readonly Step[], failed: Step): boolean {
  return steps.indexOf(failed) >= steps.findIndex(({ kind }) => kind === 'vm.kill');
}

/** What a reboot fails with when a stop or a destroy comes while the guest shuts down. */
function rebootCanceled({ instance_id }: InstanceAddress): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'instance.reboot_overtaken',
    message: `the reboot of instance ${instance_id} was canceled by another request while the guest shut down`,
    hint: 'Look at the state of the instance (mvm instance info), and start it if it is still wanted.',
  });
}

/**
 * Ends an instance's VM and boots it again, with its disks and its address, and its pool's present image and resources.
 * What is refused is refused before the guest is asked to shut down. Throws what `planReboot` and `prepareBoot` throw, and
 * `not_found`. After a failure past the end of the old VM the instance is stopped. While the guest shuts down, a stop or a
 * destroy ends it: `aborted`, `instance.reboot_overtaken`.
 */
export const reboot: InstanceOperation<StopOptions, BootInputs> = {
  name: 'reboot',
  needsVm: true,
  cancels: ({ force }) => (force ? ['sleep', 'reboot'] : ['sleep']),
  isCancelable: ({ force }) => !force,
  // The reboot whose grace period this one has skipped did what was asked for.
  isDone: ({ address, canceled }, { store }) =>
    canceled.has('reboot') && requireInstance(store, address).status === 'running',
  prepare: async ({ address }, deps) => {
    assertTransition(requireInstance(deps.store, address).status, 'reboot');
    return await prepareBoot(address, deps);
  },
  readsSecrets: () => true,
  plan: ({ address }, inputs, deps) => planBoot(address, inputs, deps, planReboot),
  notes: (call, deps) => [
    ...gracePeriodNotes(call, deps),
    'when the new VM does not start, the instance is stopped',
  ],
  around: async (call, deps, run) => {
    const { address } = call;
    assertTransition(requireInstance(deps.store, address).status, 'reboot');
    const { reservation } = planBoot(address, await prepareBoot(address, deps), deps, planReboot);
    const release = reservation.take();
    try {
      await waitForShutdown(call, deps);
      // A forced reboot wants what this one does; a stop and a destroy do not.
      if (call.signal.aborted && call.signal.reason !== 'reboot') throw rebootCanceled(address);
      await run();
    } finally {
      release();
    }
    // A guest that was to hear that it goes on is gone.
    await clearResumePending(address, deps.ports.layout);
  },
  onFailure: async ({ error, failedStep, plan }, { address, context }, inputs, deps) => {
    if (!hasEndedVm(plan.steps, failedStep)) {
      await deps.journal.end(address);
      return error;
    }
    const tail = await consoleTail(deps.ports, address, inputs.consoleMark);
    await reapRebooted(address, error, tail, context, deps);
    return bootError(toCodedError(error), failedStep, tail);
  },
};
