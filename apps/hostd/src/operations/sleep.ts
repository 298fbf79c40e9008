import type { RequestOf } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import { streamSlept } from '../guest-agent/stream-errors.js';
import { planSleep } from '../plan/plan-sleep.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance, requirePool } from '../state/store.js';
import { drainGuest, sleepCanceled } from './drain-guest.js';
import { endInput, type InstanceOperation, type OperationDeps } from './operation.js';
import { clearResumePending, markResumePending, notifyGuestResumed } from './resume-pending.js';

export interface SleepOptions {
  /** Skip the drain. */
  readonly force: boolean;
  /** Null: the pool's. */
  readonly drainTimeoutSecs: number | null;
}

export function parseSleep(request: RequestOf<'SleepInstance'>): SleepOptions {
  return { force: request.force, drainTimeoutSecs: request.drain_timeout_secs ?? null };
}

/** How long the guest may drain before the snapshot, in seconds; null: it is not asked. Throws `instance.invalid_transition`. */
function drainSecs(
  address: InstanceAddress,
  { force, drainTimeoutSecs }: SleepOptions,
  { store }: OperationDeps,
): number | null {
  const { status } = requireInstance(store, address);
  assertTransition(status, 'sleep');
  if (status !== 'running' || force) return null;
  return drainTimeoutSecs ?? requirePool(store, address).runtime_policy.drain_timeout_seconds;
}

/**
 * Drains the guest, writes a snapshot, ends the VM. Until the snapshot is begun, a stop, a destroy or a wake cancels it:
 * `aborted`, `instance.sleep_overtaken`. Throws what `planSleep` throws, and `not_found`.
 */
export const sleep: InstanceOperation<SleepOptions> = {
  name: 'sleep',
  needsVm: true,
  isCancelable: () => true,
  notes: ({ address, options }, deps) => {
    const seconds = drainSecs(address, options, deps);
    return seconds === null ? [] : [`before the first step the guest may drain for up to ${seconds} seconds`];
  },
  around: async ({ address, options, context, signal }, deps, run) => {
    const timeoutSecs = drainSecs(address, options, deps);
    const instance = requireInstance(deps.store, address);
    if (instance.status === 'running') await markResumePending(address, deps.ports.layout);
    try {
      context.auditDetails.set('drain', options.force ? 'forced' : 'not_running');
      if (timeoutSecs !== null) {
        context.auditDetails.set('drain', 'overtaken');
        const outcome = await drainGuest(instance, { timeoutSecs, signal }, context, deps.ports);
        context.auditDetails.set('drain', outcome);
      }
      if (signal.aborted) throw sleepCanceled(instance);
      if (instance.net != null) deps.ports.vms.get(instance.net.tap_dev)?.agent.close(streamSlept());
      await run();
    } catch (error) {
      // What has canceled the sleep comes first: a guest that is stopped need not hear it.
      void notifyGuestResumed(address, context.logger, deps);
      throw error;
    }
    await clearResumePending(address, deps.ports.layout);
  },
  plan: ({ address }, _prepared, deps) => {
    const compression = requirePool(deps.store, address).snapshot_compression;
    return { plan: planSleep({ ...endInput(address, deps), compression }, { now: deps.clock.now() }) };
  },
};
