import { assertTransition, CodedError, type StopReason, toCodedError } from '@mvm/protocol';
import pLimit from 'p-limit';
import { askGuestAgent } from '../guest-agent/agent-channel.js';
import type { Journal } from '../state/journal.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { requireInstance, requirePool, requireTenant } from '../state/store.js';
import type { VmExit } from '../vmm/vmm.js';
import { consoleMark, consoleTail } from './console-tail.js';
import type { Effects } from './effects.js';
import { executePlan, stepsAfterCommit, undoSteps } from './execute-plan.js';
import { requireManifest, wakeGuest } from './executors/suspend.js';
import { watchVm } from './executors/vm.js';
import type { KeyedMutex } from './keyed-mutex.js';
import type { Ledger } from './ledger.js';
import type { Clock, OperationContext } from './operation-context.js';
import { type EndInput, planDestroy, planReap, planStop } from './plan-end.js';
import { instancePort, planStart } from './plan-start.js';
import { planPause, planSleep, planWake, wokenResources } from './plan-suspend.js';
import { currentImage, type PoolImageDeps } from './pool-image.js';
import type { OperationName, Plan } from './steps.js';
import type { LiveVm } from './vm-registry.js';

export interface InstanceOperationDeps {
  readonly effects: Effects;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly mutex: KeyedMutex;
  readonly images: PoolImageDeps;
  readonly clock: Clock;
  readonly vmUidBase: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly maxParallel: number;
}

export interface SleepOptions {
  /** Skip the drain. */
  readonly force: boolean;
  /** Null: the pool's. */
  readonly drainTimeoutSecs: number | null;
}

/** Longest wait for a guest's drain; setTimeout knows no longer one. */
const MAX_DRAIN_MS = 2_147_483_647;

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
  stop(address: InstanceAddress, context: OperationContext): Promise<void>;
  destroy(address: InstanceAddress, wipeVolumes: boolean, context: OperationContext): Promise<void>;
  /** Drain, snapshot, shut down. Until the snapshot is begun, a stop, a destroy or a wake overtakes it: `aborted`. */
  sleep(address: InstanceAddress, options: SleepOptions, context: OperationContext): Promise<void>;
  wake(address: InstanceAddress, context: OperationContext): Promise<void>;
  warm(address: InstanceAddress, context: OperationContext): Promise<void>;
  resume(address: InstanceAddress, context: OperationContext): Promise<void>;
  /** Clean up after a VM that ended by itself; nothing when it was stopped meanwhile. Whether there was something to do. */
  reapExited(vm: LiveVm, exit: VmExit, context: OperationContext): Promise<boolean>;
  /** Record a VM that is gone without a trace as stopped, reason `lost`, and clean up. */
  reapLost(address: InstanceAddress, message: string, context: OperationContext): Promise<void>;
  /** Undo or finish what the journal of an instance holds. Whether there was anything. */
  settle(address: InstanceAddress, context: OperationContext): Promise<boolean>;
  /** The operation under way on an instance, or null. */
  operationOf(address: InstanceAddress): OperationName | null;
}

export function createInstanceOperations(deps: InstanceOperationDeps): InstanceOperations {
  const { effects, journal, ledger, mutex, clock } = deps;
  const { store } = effects;
  const active = new Map<string, OperationName>();
  /** Sleeps that may still be given up: until they journal their plan. */
  const drains = new Map<string, AbortController>();
  const limit = pLimit(deps.maxParallel);

  /** Give up a sleep that is still draining its guest. Whether there was one. */
  function overtakeSleep(address: InstanceAddress): boolean {
    const drain = drains.get(addressText(address));
    drain?.abort();
    return drain !== undefined;
  }

  function overtaken(instance: InstanceRecord): CodedError {
    return new CodedError({
      code: 'aborted',
      reason: 'instance.sleep_overtaken',
      message: `the sleep of instance ${instance.instance_id} was overtaken by another request while the guest drained`,
      hint: 'Look at the state of the instance (mvm instance info), and repeat the sleep if it is still wanted.',
    });
  }

  function endInput(instance: InstanceRecord): EndInput {
    return { tenant: requireTenant(store, instance.tenant_id), instance, vmUidBase: deps.vmUidBase };
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
          await settleNow(address, context);
          return await work();
        } finally {
          active.delete(key);
        }
      }),
    );
  }

  async function settleNow(address: InstanceAddress, context: OperationContext): Promise<boolean> {
    if (store.instance(address) === undefined) return false;
    const entry = await journal.read(address);
    if (entry === null) return false;
    const { plan, opId } = entry;
    const logger = context.logger.child({ settling: opId, operation: plan.operation });
    const rest = plan.onFailure === 'commit' ? await stepsAfterCommit(plan, effects) : null;
    if (plan.onFailure === 'finish' || rest !== null) {
      logger.warn('finishing an operation that did not end');
      if (plan.operation === 'wake' && !(await findWokenVm(address))) {
        await journal.end(address);
        await reapWoken(address, 'the VMM was gone when hostd went on with the wake', context);
        return true;
      }
      const outcome = await executePlan({ ...plan, steps: rest ?? plan.steps }, effects, logger);
      if (!outcome.ok) throw cleanupIncomplete(plan, outcome.error);
    } else if (plan.onFailure === 'undo' && store.instance(address)?.status === 'running') {
      logger.info('an operation was complete, only its journal was left');
    } else {
      logger.warn('undoing an operation that did not end');
      if (!(await undoSteps(plan.steps, effects, logger))) throw cleanupIncomplete(plan, null);
      if (plan.operation === 'start') {
        await recordStartFailure(address, 'hostd ended while the instance was being started', '');
      }
    }
    await journal.end(address);
    return true;
  }

  /** The VM of a wake that is past its commit point: watched already, or adopted now. Whether it is there. */
  async function findWokenVm(address: InstanceAddress): Promise<boolean> {
    const vm = store.instance(address)?.vm;
    if (vm == null) return false;
    if (effects.vms.get(vm.spec.vmId) !== undefined) return true;
    const handle = await effects.vmm.adopt(vm);
    if (handle === null) return false;
    watchVm(address, handle, effects);
    return true;
  }

  /** A wake that failed past its commit point: the memory is lost, and the instance is stopped, cleanly. */
  async function reapWoken(
    address: InstanceAddress,
    message: string,
    context: OperationContext,
  ): Promise<void> {
    const tail = await consoleTail(effects, address, null);
    const reason: StopReason = {
      kind: 'lost',
      message: message.slice(0, 1000),
      exit_code: null,
      signal: null,
      console_tail: tail,
      at: clock.now(),
    };
    await run(planReap(endInput(requireInstance(store, address)), reason), context);
  }

  function cleanupIncomplete(plan: Plan, cause: unknown): CodedError {
    const why = cause === null ? 'see the log' : toCodedError(cause).message;
    return new CodedError({
      code: 'unavailable',
      reason: 'instance.cleanup_incomplete',
      message: `an earlier ${plan.operation} of instance ${addressText(plan.address)} is not cleaned up: ${why}`,
      hint: 'Remove the cause (the log of hostd names it), then repeat the request: it is tried again first.',
      cause,
    });
  }

  async function recordStartFailure(address: InstanceAddress, message: string, tail: string): Promise<void> {
    const instance = store.instance(address);
    if (instance === undefined) return;
    const at = clock.now();
    const reason: StopReason = {
      kind: 'start_failed',
      message: message.slice(0, 1000),
      exit_code: null,
      signal: null,
      console_tail: tail,
      at,
    };
    await store.saveInstance({ ...instance, stop_reason: reason });
  }

  /** Journal a plan and run it. On failure of an undone start, what is thrown ends with the console's last lines. */
  async function run(plan: Plan, context: OperationContext): Promise<void> {
    const { address } = plan;
    const logger = context.logger;
    const began = performance.now();
    await journal.begin(context.opId, plan);
    logger.debug({ step: 'journal', ms: performance.now() - began }, 'step done');
    const mark = plan.operation === 'start' ? await consoleMark(effects, address) : null;
    const outcome = await executePlan(plan, effects, logger, async (completed) => {
      if (completed < plan.steps.length) await journal.progress(context.opId, plan, completed);
    });
    if (outcome.ok) {
      await journal.end(address);
      return;
    }
    if (plan.onFailure === 'commit') {
      if (outcome.undone) await journal.end(address);
      else if (plan.operation === 'wake') {
        await journal.end(address);
        await reapWoken(address, `the wake failed: ${toCodedError(outcome.error).message}`, context);
      }
      throw outcome.error;
    }
    if (mark === null) {
      if (outcome.undone) await journal.end(address);
      throw outcome.error;
    }
    const error = toCodedError(outcome.error);
    const tail = await consoleTail(effects, address, mark);
    if (outcome.undone) {
      await recordStartFailure(address, error.message, tail);
      await journal.end(address);
    }
    if (!outcome.failedStep.kind.startsWith('vm.') || tail === '') throw error;
    throw new CodedError({
      code: error.code,
      reason: error.reason,
      message: `${error.message}\nLast lines of the console:\n${tail}`,
      hint: error.hint,
      details: error.details,
      cause: error,
    });
  }

  async function start(address: InstanceAddress, context: OperationContext): Promise<void> {
    let instance = requireInstance(store, address);
    if (instance.status !== 'created') assertTransition(instance.status, 'start');
    const image = await currentImage(deps.images, address);
    if (instance.status === 'created') {
      await store.saveInstance({ ...instance, status: assertTransition('created', 'prepare') });
      instance = requireInstance(store, address);
    }
    // From here to the claim nothing may be awaited: what was checked must still hold.
    const tenant = requireTenant(store, address.tenant_id);
    const resources = requirePool(store, address).instance_resources;
    const { vcpus, mem_mib, data_disk_mib } = resources;
    const plan = planStart(
      {
        tenant,
        instance,
        resources: { vcpus, mem_mib, data_disk_mib },
        image,
        usage: ledger.runningUsage(address.tenant_id, address),
        vmUidBase: deps.vmUidBase,
        accelerator: deps.accelerator,
      },
      { now: clock.now() },
    );
    const release = ledger.claimStart(address, resources);
    try {
      await run(plan, context);
    } finally {
      release();
    }
  }

  async function wake(address: InstanceAddress, context: OperationContext): Promise<void> {
    assertTransition(requireInstance(store, address).status, 'wake');
    const { launch } = await requireManifest(address, effects);
    // From here to the claim nothing may be awaited: what was checked must still hold.
    const instance = requireInstance(store, address);
    const usage = ledger.runningUsage(address.tenant_id, address);
    const plan = planWake({ ...endInput(instance), launch, usage }, { now: clock.now() });
    const release = ledger.claimStart(address, wokenResources(instance, launch));
    try {
      await run(plan, context);
    } finally {
      release();
    }
  }

  /** Ask the guest to get ready; nothing that it answers, or does not, keeps the instance awake. */
  async function drain(
    instance: InstanceRecord,
    timeoutSecs: number,
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<void> {
    const handle = instance.net == null ? undefined : effects.vms.get(instance.net.tap_dev)?.handle;
    const socket = await handle?.agentSocket();
    if (socket == null) {
      context.logger.info('the guest has no agent to be drained by');
      return;
    }
    try {
      const request = { type: 'SleepPrep', drain_timeout_secs: timeoutSecs } as const;
      const timeoutMs = Math.min(Math.max(timeoutSecs, 1) * 1000, MAX_DRAIN_MS);
      const { success, detail } = await askGuestAgent(socket, request, { timeoutMs, signal });
      if (success) context.logger.info('the guest is drained');
      else
        context.logger.warn(
          { detail },
          'the guest says that it is not drained; it is put to sleep all the same',
        );
    } catch (error) {
      if (signal.aborted) throw overtaken(instance);
      context.logger.warn({ err: error }, 'the guest did not drain in time; it is put to sleep all the same');
    }
  }

  async function sleep(
    address: InstanceAddress,
    options: SleepOptions,
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<void> {
    const before = requireInstance(store, address);
    assertTransition(before.status, 'sleep');
    const pool = requirePool(store, address);
    const timeoutSecs = options.drainTimeoutSecs ?? pool.runtime_policy.drain_timeout_seconds;
    const drained = before.status === 'running' && !options.force;
    const vmId = before.net?.tap_dev ?? '';
    try {
      if (drained) await drain(before, timeoutSecs, context, signal);
      if (signal.aborted) throw overtaken(before);
      const instance = requireInstance(store, address);
      const input = { ...endInput(instance), compression: pool.snapshot_compression };
      await limit(() => run(planSleep(input, { now: clock.now() }), context));
    } catch (error) {
      // A guest that got ready to sleep must hear that it goes on.
      if (drained && effects.vms.get(vmId) !== undefined) await wakeGuest(address, vmId, effects);
      throw error;
    }
  }

  function exitReason(exit: VmExit, tail: string): StopReason {
    const how =
      exit.signal !== null
        ? `was killed by ${exit.signal}`
        : exit.exitCode !== null
          ? `ended with exit code ${exit.exitCode}`
          : 'ended';
    return {
      kind: 'exited',
      message: `the VMM ${how}`,
      exit_code: exit.exitCode,
      signal: exit.signal,
      console_tail: tail,
      at: clock.now(),
    };
  }

  return {
    sleep: async (address, options, context) => {
      const key = addressText(address);
      const controller = new AbortController();
      await mutex.run(key, async () => {
        active.set(key, 'sleep');
        drains.set(key, controller);
        try {
          await limit(() => settleNow(address, context));
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
      exclusively(address, 'warm', context, () =>
        run(planPause(requireInstance(store, address), 'warm', { now: clock.now() }), context),
      ),
    resume: (address, context) =>
      exclusively(address, 'resume', context, () =>
        run(planPause(requireInstance(store, address), 'resume', { now: clock.now() }), context),
      ),
    operationOf: (address) => active.get(addressText(address)) ?? null,
    start: (address, context) => exclusively(address, 'start', context, () => start(address, context)),
    stop: (address, context) => {
      overtakeSleep(address);
      return exclusively(address, 'stop', context, () =>
        run(planStop(endInput(requireInstance(store, address)), { now: clock.now() }), context),
      );
    },
    destroy: (address, wipeVolumes, context) => {
      overtakeSleep(address);
      return exclusively(address, 'destroy', context, () =>
        run(planDestroy(endInput(requireInstance(store, address)), { wipeVolumes }), context),
      );
    },
    reapExited: (vm, exit, context) =>
      exclusively(vm.address, 'reap', context, async () => {
        const instance = store.instance(vm.address);
        const isThisVm = instance?.vm?.pid === vm.handle.record.pid;
        if (instance === undefined || !isThisVm || !['running', 'warm'].includes(instance.status))
          return false;
        const tail = await consoleTail(effects, vm.address, null);
        await run(planReap(endInput(instance), exitReason(exit, tail)), context);
        return true;
      }),
    reapLost: (address, message, context) =>
      exclusively(address, 'reap', context, async () => {
        const instance = requireInstance(store, address);
        const tail = await consoleTail(effects, address, null);
        const at = clock.now();
        const reason: StopReason = {
          kind: 'lost',
          message,
          exit_code: null,
          signal: null,
          console_tail: tail,
          at,
        };
        await run(planReap(endInput(instance), reason), context);
      }),
    settle: (address, context) => mutex.run(addressText(address), () => settleNow(address, context)),
  };
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
