import type { RequestOf } from '@mvm/protocol';
import { planStop } from '../plan/plan-stop.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance, requirePool } from '../state/store.js';
import { endInput, type InstanceOperation, type OperationDeps } from './operation.js';
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
  address: InstanceAddress,
  { force, shutdownTimeoutSecs }: StopOptions,
  { store }: OperationDeps,
): number | null {
  // A guest whose vCPUs do not run cannot shut down.
  if (force || requireInstance(store, address).status !== 'running') return null;
  const seconds = shutdownTimeoutSecs ?? requirePool(store, address).runtime_policy.graceful_shutdown_seconds;
  return seconds === 0 ? null : seconds;
}

/**
 * Ends an instance's VM. Without `force`, a running guest may shut down first: until its time is over, or a destroy or a
 * forced stop comes. Throws what `planStop` throws, and `not_found`.
 */
export const stop: InstanceOperation<StopOptions> = {
  name: 'stop',
  cancels: ({ force }) => (force ? ['sleep', 'stop'] : ['sleep']),
  isCancelable: ({ force }) => !force,
  endsVm: ({ force }) => (force ? 'force' : 'ask'),
  // The stop whose grace period this one has skipped, or the end of the VMM under another operation, did what was asked for.
  isDone: ({ address, canceled, cutShort }, { store }) => {
    if (!canceled.has('stop') && !cutShort) return false;
    const { status } = requireInstance(store, address);
    return canceled.has('stop') ? status === 'stopped' : !['running', 'warm', 'sleeping'].includes(status);
  },
  notes: ({ address, options }, deps) => {
    const seconds = gracePeriodSecs(address, options, deps);
    return seconds === null
      ? []
      : [`before the first step the guest may shut down for up to ${seconds} seconds`];
  },
  around: async ({ address, options, context, signal }, deps, run) => {
    const timeoutSecs = gracePeriodSecs(address, options, deps);
    if (timeoutSecs !== null) {
      const instance = requireInstance(deps.store, address);
      const outcome = await shutDownGuest(instance, { timeoutSecs, signal }, context, deps.ports);
      context.auditDetails.set('shutdown', outcome);
    }
    await run();
  },
  plan: ({ address }, _prepared, deps) => ({
    plan: planStop(endInput(address, deps), { now: deps.clock.now() }),
  }),
};
