import { assertTransition } from '@mvm/protocol';
import pLimit from 'p-limit';
import type { Journal } from '../execute/journal.js';
import type { HostPorts } from '../execute/ports.js';
import type { OperationName, PlannedImage } from '../execute/step.js';
import type { LiveVm } from '../execute/vm-registry.js';
import type { AuditSink } from '../state/audit-log.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { PoolRecord } from '../state/records.js';
import { requireInstance, requirePool } from '../state/store.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';
import type { VmExit } from '../vmm/vmm.js';
import { adoptOrReap, type FoundVm } from './adopt-or-reap.js';
import { consoleTail } from './console-tail.js';
import { drainGuest, sleepOvertaken } from './drain-guest.js';
import { endVmm, endVmmUnlessReached } from './hung-vm.js';
import type { Clock, OperationContext } from './operation-context.js';
import {
  type ClaimingPlan,
  findStartImage,
  findWakeLaunch,
  prepareDestroy,
  preparePause,
  prepareReap,
  prepareSleep,
  prepareStart,
  prepareStop,
  prepareWake,
  type SleepOptions,
  sleepDrainSecs,
} from './prepare-instance.js';
import { settleJournal } from './recover-operation.js';
import type { Reservations } from './reservations.js';
import { clearResumePending, markResumePending, tellOwedWakeLater } from './resume-pending.js';
import { type JournaledDeps, recordWakeFailure, runJournaled } from './run-journaled.js';
import { noticeSecretsChange } from './secrets-epoch.js';
import { type StopOptions, shutDownGuest, stopShutdownSecs } from './shut-down-guest.js';
import { exitReason } from './stop-reasons.js';

export interface InstanceOperationDeps {
  readonly ports: HostPorts;
  readonly journal: Journal;
  readonly audit: AuditSink;
  readonly reservations: Reservations;
  readonly mutex: KeyedMutex;
  readonly clock: Clock;
  readonly vmUidBase: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly maxParallel: number;
}

/**
 * Start, stop, sleep, wake, destroy, and what follows when a VM ends by itself.
 *
 * INVARIANTS
 * - Operations on one instance run one at a time, in order of arrival; at most `maxParallel` run over all instances.
 * - A plan is durable in the journal before its first step, and the journal is cleared only when the plan is complete
 *   or completely undone. An operation finds no journal but its own: what an earlier one left is settled first.
 * - A record says `running` only after the VM runs, and `stopped` only after it is dead.
 */
export interface InstanceOperations {
  start(address: InstanceAddress, context: OperationContext): Promise<void>;
  /** Without `force`, a running guest may shut down first: until its time is over, or a destroy or a forced stop comes. */
  stop(address: InstanceAddress, options: StopOptions, context: OperationContext): Promise<void>;
  destroy(address: InstanceAddress, wipeVolumes: boolean, context: OperationContext): Promise<void>;
  /** Drain, snapshot, shut down. Until the snapshot is begun, a stop, a destroy or a wake overtakes it: `aborted`. */
  sleep(address: InstanceAddress, options: SleepOptions, context: OperationContext): Promise<void>;
  wake(address: InstanceAddress, context: OperationContext): Promise<void>;
  warm(address: InstanceAddress, context: OperationContext): Promise<void>;
  resume(address: InstanceAddress, context: OperationContext): Promise<void>;
  /** Clean up after a VM that ended by itself; nothing when it was stopped meanwhile. Whether there was something to do. */
  reapExited(vm: LiveVm, exit: VmExit, context: OperationContext): Promise<boolean>;
  /** Settle, then watch the VM that the record names, or record one that is gone as stopped, reason `lost`; see `adoptOrReap`. */
  adopt(address: InstanceAddress, context: OperationContext): Promise<FoundVm>;
  /** Undo or finish what the journal of an instance holds. Whether there was anything. */
  settle(address: InstanceAddress, context: OperationContext): Promise<boolean>;
  /**
   * Tell a guest that goes on without the sleep or the pause that was begun, if it is owed that: a few times, until it
   * answers. Never fails, and nobody need wait for it.
   */
  tellOwedWake(address: InstanceAddress, context: OperationContext): Promise<void>;
  /** The operation under way on an instance, or null. */
  operationOf(address: InstanceAddress): OperationName | null;
  /** Whether a sleep of the instance could still be overtaken. */
  isDraining(address: InstanceAddress): boolean;
}

export function createInstanceOperations(deps: InstanceOperationDeps): InstanceOperations {
  const { ports, reservations, mutex, clock } = deps;
  const { store } = ports;
  const journaled: JournaledDeps = { ...deps, store };
  const active = new Map<string, OperationName>();
  /** Sleeps that may still be given up: until they journal their plan. */
  const drains = new Map<string, AbortController>();
  /** Stops that wait for their guest to shut down. */
  const shutdowns = new Map<string, AbortController>();
  const limit = pLimit(deps.maxParallel);
  /** Of operations that end VMs: those need no VMM to answer, and wait for none that does not. */
  const endLimit = pLimit(deps.maxParallel);

  /** Give up a sleep that is still draining its guest. Whether there was one. */
  function overtakeSleep(address: InstanceAddress): boolean {
    const drain = drains.get(addressText(address));
    drain?.abort();
    return drain !== undefined;
  }

  /** Have a stop wait no longer for its guest. Whether there was one. */
  function hurryStop(address: InstanceAddress): boolean {
    const shutdown = shutdowns.get(addressText(address));
    shutdown?.abort();
    return shutdown !== undefined;
  }

  const tellWake = (address: InstanceAddress, { logger }: OperationContext): Promise<void> =>
    tellOwedWakeLater(address, { ports, mutex, logger });

  /** The caller holds the lock; what the guest is owed then, it is told behind what holds it. */
  async function settle(address: InstanceAddress, context: OperationContext): Promise<boolean> {
    const settled = await settleJournal(address, context, journaled);
    if (settled) void tellWake(address, context);
    return settled;
  }

  /**
   * The same before an operation that ends the VM: what cannot be settled with a VMM that does not answer is settled
   * without it. `force`: its answer is not waited for at all.
   */
  async function settleToEnd(
    address: InstanceAddress,
    force: boolean,
    context: OperationContext,
  ): Promise<void> {
    if ((await deps.journal.read(address)) === null) return;
    if (!force) {
      try {
        await settle(address, context);
        return;
      } catch (error) {
        context.logger.warn({ err: error }, 'an earlier operation is settled without its VMM');
      }
    }
    const vmId = store.instance(address)?.net?.tap_dev;
    if (vmId !== undefined) await endVmm(vmId, ports);
    await settle(address, context);
  }

  /** Run an operation that ends the VM, whatever is under way on the instance. `work` hears whether that was cut short. */
  function ending<T>(
    address: InstanceAddress,
    how: { readonly name: OperationName; readonly force: boolean; readonly abortWait?: AbortController },
    context: OperationContext,
    work: (cutShort: boolean) => Promise<T>,
  ): Promise<T> {
    const key = addressText(address);
    const hung = how.force ? endVmmUnlessReached(address, context, ports) : null;
    return mutex.run(key, async () => {
      const cutShort = hung?.reached() ?? false;
      active.set(key, how.name);
      if (how.abortWait !== undefined) shutdowns.set(key, how.abortWait);
      try {
        await endLimit(() => settleToEnd(address, how.force, context));
        return await work(cutShort);
      } finally {
        shutdowns.delete(key);
        active.delete(key);
      }
    });
  }

  /** Watch a VM that could not be adopted when hostd started; before what needs the VM itself. The caller holds the lock. */
  async function watch(address: InstanceAddress, context: OperationContext): Promise<void> {
    const vm = store.instance(address)?.vm;
    if (vm == null || ports.vms.get(vm.spec.vmId) !== undefined) return;
    await adoptOrReap(address, context, journaled);
  }

  /** Settle what is left of an earlier operation, then run one under the instance's lock. */
  function exclusively<T>(
    address: InstanceAddress,
    name: OperationName,
    context: OperationContext,
    work: () => Promise<T>,
  ): Promise<T> {
    const key = addressText(address);
    return mutex.run(key, () =>
      limit(async () => {
        active.set(key, name);
        try {
          await settle(address, context);
          return await work();
        } finally {
          active.delete(key);
        }
      }),
    );
  }

  /** Claim what the plan is about to use, and run it. */
  async function runClaiming({ plan, claim }: ClaimingPlan, context: OperationContext): Promise<void> {
    const release = reservations.reserveStart(plan.address, claim);
    try {
      await runJournaled(plan, context, journaled);
    } finally {
      release();
    }
  }

  async function noticeSecrets({ tenant_id, pool_id }: InstanceAddress): Promise<void> {
    if (requirePool(store, { tenant_id, pool_id }).secret_scopes.length === 0) return;
    await noticeSecretsChange(tenant_id, { store, mutex, stateDir: ports.layout.stateDir });
  }

  async function start(address: InstanceAddress, context: OperationContext): Promise<void> {
    let pool: PoolRecord | undefined;
    let image: PlannedImage;
    do {
      // The image of a pool and its resources belong together: of a pool that changes meanwhile, neither is taken.
      pool = store.pool(address);
      image = await findStartImage(address, journaled, ports.images);
      await noticeSecrets(address);
    } while (store.pool(address) !== pool);
    // From here to the claim nothing may be awaited: what was checked must still hold.
    const prepared = prepareStart(address, image, journaled);
    const release = ports.images.hold(address, image.digest);
    await runClaiming(prepared, context).finally(release);
  }

  async function wake(address: InstanceAddress, context: OperationContext): Promise<void> {
    assertTransition(requireInstance(store, address).status, 'wake');
    try {
      const launch = await findWakeLaunch(address, journaled, ports);
      if (launch.hasSecretsDrive === true) await noticeSecrets(address);
      // From here to the claim nothing may be awaited: what was checked must still hold.
      await runClaiming(prepareWake(address, launch, journaled), context);
    } catch (error) {
      await recordWakeFailure(address, error, journaled);
      throw error;
    }
  }

  async function sleep(
    address: InstanceAddress,
    options: SleepOptions,
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<void> {
    const timeoutSecs = sleepDrainSecs(address, options, journaled);
    const instance = requireInstance(store, address);
    if (instance.status === 'running') await markResumePending(address, ports.layout);
    try {
      context.notes.set('drain', options.force ? 'forced' : 'not_running');
      if (timeoutSecs !== null) {
        context.notes.set('drain', 'overtaken');
        context.notes.set('drain', await drainGuest(instance, { timeoutSecs, signal }, context, ports));
      }
      if (signal.aborted) throw sleepOvertaken(instance);
      await limit(() => runJournaled(prepareSleep(address, journaled), context, journaled));
    } catch (error) {
      // What has overtaken the sleep comes first: a guest that is stopped need not hear it.
      void tellWake(address, context);
      throw error;
    }
    await clearResumePending(address, ports.layout);
  }

  async function stop(
    address: InstanceAddress,
    options: StopOptions,
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<void> {
    const timeoutSecs = stopShutdownSecs(address, options, journaled);
    if (timeoutSecs !== null) {
      const instance = requireInstance(store, address);
      context.notes.set('shutdown', await shutDownGuest(instance, { timeoutSecs, signal }, context, ports));
    }
    await endLimit(() => runJournaled(prepareStop(address, journaled), context, journaled));
  }

  return {
    sleep: async (address, options, context) => {
      const key = addressText(address);
      const controller = new AbortController();
      await mutex.run(key, async () => {
        active.set(key, 'sleep');
        drains.set(key, controller);
        try {
          await limit(() => settle(address, context));
          await watch(address, context);
          await sleep(address, options, context, controller.signal);
        } finally {
          drains.delete(key);
          active.delete(key);
        }
      });
    },
    wake: async (address, context) => {
      const overtook = overtakeSleep(address);
      await exclusively(address, 'wake', context, async () => {
        // The sleep that this wake kept from happening left it running: that is what was asked for.
        if (overtook && requireInstance(store, address).status === 'running') return;
        await wake(address, context);
      });
    },
    warm: (address, context) =>
      exclusively(address, 'warm', context, async () => {
        await watch(address, context);
        const plan = preparePause(address, 'warm', journaled);
        // What was checked is claimed before anything is awaited.
        const release = reservations.reserveWarm(address);
        try {
          await runJournaled(plan, context, journaled);
        } finally {
          release();
        }
      }),
    resume: (address, context) =>
      exclusively(address, 'resume', context, async () => {
        await watch(address, context);
        await runJournaled(preparePause(address, 'resume', journaled), context, journaled);
      }),
    operationOf: (address) => active.get(addressText(address)) ?? null,
    isDraining: (address) => drains.has(addressText(address)),
    start: (address, context) => exclusively(address, 'start', context, () => start(address, context)),
    stop: async (address, options, context) => {
      overtakeSleep(address);
      const overtook = options.force && hurryStop(address);
      const controller = new AbortController();
      const how = { name: 'stop', force: options.force } as const;
      const waiting = options.force ? {} : { abortWait: controller };
      await ending(address, { ...how, ...waiting }, context, async (cutShort) => {
        // The stop that this one has hurried, or the end of the VMM under another operation, did what was asked for.
        const { status } = requireInstance(store, address);
        if (overtook && status === 'stopped') return;
        if (cutShort && !['running', 'warm', 'sleeping'].includes(status)) return;
        await stop(address, options, context, controller.signal);
      });
    },
    destroy: (address, wipeVolumes, context) => {
      overtakeSleep(address);
      hurryStop(address);
      return ending(address, { name: 'destroy', force: true }, context, () =>
        endLimit(() => runJournaled(prepareDestroy(address, wipeVolumes, journaled), context, journaled)),
      );
    },
    reapExited: (vm, exit, context) =>
      exclusively(vm.address, 'reap', context, async () => {
        const instance = store.instance(vm.address);
        const isThisVm = instance?.vm?.pid === vm.handle.record.pid;
        if (instance === undefined || !isThisVm || !['running', 'warm'].includes(instance.status))
          return false;
        const tail = await consoleTail(ports, vm.address, null);
        const reason = exitReason(exit, { at: clock.now(), tail });
        await runJournaled(prepareReap(vm.address, reason, journaled), context, journaled);
        return true;
      }),
    adopt: (address, context) =>
      mutex.run(addressText(address), async () => {
        await settle(address, context);
        return await adoptOrReap(address, context, journaled);
      }),
    settle: (address, context) => mutex.run(addressText(address), () => settle(address, context)),
    tellOwedWake: tellWake,
  };
}
