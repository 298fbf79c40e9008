import type { GuestExit, RequestOf } from '@mvm/protocol';
import { planStop } from '../plan/plan-stop.js';
import { requireInstance, requirePool } from '../state/store.js';
import { readGuestExit } from './guest-exit.js';
import {
  type Call,
  endInput,
  type InstanceOperation,
  type OperationDeps,
  type RunningCall,
} from './operation.js';
import { shutDownGuest } from './shut-down-guest.js';

export interface StopOptions {
  /** End the VM at once. */
  readonly force: boolean;
  /** How long the guest may shut down before; null: the pool's. */
  readonly shutdownTimeoutSecs: number | null;
}

/** Without `force`, a stop is what version 1 knows: at once. */
export function parseStop(request: RequestOf<'StopInstance'>): StopOptions {
  return { force: request.force ?? true, shutdownTimeoutSecs: request.shutdown_timeout_secs ?? null };
}

/** How long the guest may shut down before its VM is ended, in seconds; null: it is not asked. Throws `not_found`. */
function gracePeriodSecs(
  { address, options: { force, shutdownTimeoutSecs } }: Call<StopOptions>,
  { store }: OperationDeps,
): number | null {
  // A guest whose vCPUs do not run cannot shut down.
  if (force || requireInstance(store, address).status !== 'running') return null;
  const seconds = shutdownTimeoutSecs ?? requirePool(store, address).runtime_policy.graceful_shutdown_seconds;
  return seconds === 0 ? null : seconds;
}

/** How long the guest may shut down, for who reads a plan. */
export function gracePeriodNotes(call: Call<StopOptions>, deps: OperationDeps): string[] {
  const seconds = gracePeriodSecs(call, deps);
  return seconds === null
    ? []
    : [`before the first step the guest may shut down for up to ${seconds} seconds`];
}

/** Lets a running guest shut down, unless it is not to be asked. Never fails; what is left of the VM is still to be ended. */
export async function waitForShutdown(call: RunningCall<StopOptions>, deps: OperationDeps): Promise<void> {
  const { address, context, signal } = call;
  const timeoutSecs = gracePeriodSecs(call, deps);
  if (timeoutSecs === null) return;
  const instance = requireInstance(deps.store, address);
  const outcome = await shutDownGuest(instance, { timeoutSecs, signal }, context, deps.ports);
  context.auditDetails.set('shutdown', outcome);
}

/**
 * Ends an instance's VM. Without `force`, a running guest may shut down first: until its time is over, or a destroy or a
 * forced stop comes. Throws what `planStop` throws, and `not_found`.
 */
export const stop: InstanceOperation<StopOptions, GuestExit | undefined> = {
  name: 'stop',
  cancels: ({ force }) => (force ? ['sleep', 'stop', 'reboot'] : ['sleep']),
  isCancelable: ({ force }) => !force,
  endsVm: ({ force }) => (force ? 'force' : 'ask'),
  // The stop whose grace period this one has skipped, the guest of a reboot that this one has ended, or the end of the VMM
  // under another operation, did what was asked for.
  isDone: ({ address, canceled, cutShort }, { store }) => {
    if (!canceled.has('stop') && !canceled.has('reboot') && !cutShort) return false;
    const { status } = requireInstance(store, address);
    return canceled.has('stop') ? status === 'stopped' : !['running', 'warm', 'sleeping'].includes(status);
  },
  notes: gracePeriodNotes,
  around: async (call, deps, run) => {
    await waitForShutdown(call, deps);
    await run();
  },
  // After the wait: a guest that has shut down has said how its main process ended.
  prepare: ({ address }, { ports }) => readGuestExit(ports, address),
  plan: ({ address }, guest, deps) => ({
    plan: planStop(endInput(address, deps), { now: deps.clock.now(), guest }),
  }),
};
