import { assertTransition, CodedError, type StopReason, toCodedError } from '@mvm/protocol';
import pLimit from 'p-limit';
import type { Journal } from '../state/journal.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { requireInstance, requirePool, requireTenant } from '../state/store.js';
import type { VmExit } from '../vmm/vmm.js';
import { consoleMark, consoleTail } from './console-tail.js';
import type { Effects } from './effects.js';
import { executePlan, undoSteps } from './execute-plan.js';
import type { KeyedMutex } from './keyed-mutex.js';
import type { Ledger } from './ledger.js';
import type { Clock, OperationContext } from './operation-context.js';
import { type EndInput, planDestroy, planReap, planStop } from './plan-end.js';
import { instancePort, planStart } from './plan-start.js';
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

/**
 * Start, stop, destroy, and what follows when a VM ends by itself.
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
  const limit = pLimit(deps.maxParallel);

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
    if (plan.onFailure === 'finish') {
      logger.warn('finishing an operation that did not end');
      const outcome = await executePlan(plan, effects, logger);
      if (!outcome.ok) throw cleanupIncomplete(plan, outcome.error);
    } else if (store.instance(address)?.status === 'running') {
      logger.info('an operation was complete, only its journal was left');
    } else {
      logger.warn('undoing an operation that did not end');
      if (!(await undoSteps(plan.steps, effects, logger))) throw cleanupIncomplete(plan, null);
      await recordStartFailure(address, 'hostd ended while the instance was being started', '');
    }
    await journal.end(address);
    return true;
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
    if (mark === null) throw outcome.error;
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
    operationOf: (address) => active.get(addressText(address)) ?? null,
    start: (address, context) => exclusively(address, 'start', context, () => start(address, context)),
    stop: (address, context) =>
      exclusively(address, 'stop', context, () =>
        run(planStop(endInput(requireInstance(store, address)), { now: clock.now() }), context),
      ),
    destroy: (address, wipeVolumes, context) =>
      exclusively(address, 'destroy', context, () =>
        run(planDestroy(endInput(requireInstance(store, address)), { wipeVolumes }), context),
      ),
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

/** The port of an instance that is recorded as running, for reconciling the network; null when it has none. */
export function recordedPort(
  instance: InstanceRecord,
  vmUidBase: number,
): ReturnType<typeof instancePort> | null {
  if (instance.net == null || !['running', 'warm'].includes(instance.status)) return null;
  return instancePort(instance, vmUidBase);
}
