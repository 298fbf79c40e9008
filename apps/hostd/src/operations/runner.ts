import { toCodedError } from '@mvm/protocol';
import { executePlan } from '../execute/execute-plan.js';
import type { OperationName, Plan, StepPlan } from '../execute/step.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import type { PoolRecord } from '../state/records.js';
import { assertUndamaged } from '../state/store.js';
import { adoptOrReap, type FoundVm } from './adopt-or-reap.js';
import { type PlannedOperation, plannedOperation } from './dry-run.js';
import { endVmm, endVmmUnlessReached } from './hung-vm.js';
import type {
  Call,
  CancelableOperation,
  FollowUp,
  InstanceOperation,
  OperationDeps,
  RecordOperation,
  RecordPlan,
} from './operation.js';
import type { OperationContext } from './operation-context.js';
import { createOperationSlots } from './operation-slots.js';
import { isUndoneByEnd, recoverOperation } from './recover-operation.js';
import { notifyGuestResumed } from './resume-pending.js';
import { runJournaled } from './run-journaled.js';
import { detectSecretsChange } from './secrets-epoch.js';

/**
 * Runs operations, and says what one would do.
 *
 * INVARIANTS
 * - Operations on one instance run one at a time, in order of arrival; how many run over all instances: `OperationSlots`.
 *   Those on one tenant's records run one at a time, and never wait for an instance's lock while they hold the tenant's.
 * - A plan for an instance is durable in the journal before its first step, and the journal is cleared only when the plan
 *   is complete or completely undone. An operation finds no journal but its own: what an earlier one left is recovered
 *   first, except what the end of the VM leaves nothing of.
 * - What was checked is reserved in one synchronous piece with the check.
 */
export interface OperationRunner {
  /** Whether there was something to do. Throws what the operation is refused with, or fails with. */
  run<O, P>(
    operation: InstanceOperation<O, P>,
    address: InstanceAddress,
    options: O,
    context: OperationContext,
  ): Promise<boolean>;
  /**
   * The steps that `run` would take if it began now. Refused as that would be; changes nothing. It waits for no lock: what
   * is under way on the instance is in the notes.
   */
  dryRun<O, P>(
    operation: InstanceOperation<O, P>,
    address: InstanceAddress,
    options: O,
  ): Promise<PlannedOperation>;
  /** What is recorded then. Throws what the operation is refused with, or fails with. */
  runOnRecords<I, R, P>(operation: RecordOperation<I, R, P>, input: I, context: OperationContext): Promise<R>;
  dryRunOnRecords<I, R, P>(operation: RecordOperation<I, R, P>, input: I): Promise<PlannedOperation>;
  /** Recover, then watch the VM that the record names, or record one that is gone as stopped; see `adoptOrReap`. */
  adopt(address: InstanceAddress, context: OperationContext): Promise<FoundVm>;
  /** Undo or finish what the journal of an instance holds. Whether there was anything. */
  recover(address: InstanceAddress, context: OperationContext): Promise<boolean>;
  /** See `notifyGuestResumed`. */
  notifyGuestResumed(address: InstanceAddress, context: OperationContext): Promise<void>;
  /** The operation under way on an instance, or null. */
  operationOf(address: InstanceAddress): OperationName | null;
}

interface ActiveOperation {
  readonly name: OperationName;
  /** Null: it cannot be canceled. */
  readonly cancel: AbortController | null;
}

export function createOperationRunner(
  deps: OperationDeps & { readonly maxParallel: number },
): OperationRunner {
  const { ports, store, journal, mutex } = deps;
  const active = new Map<string, ActiveOperation>();
  const slots = createOperationSlots(deps.maxParallel);
  /** Of operations that end VMs: those need no VMM to answer, and wait for none that does not. */
  const endSlots = createOperationSlots(deps.maxParallel);

  /** Those of `names` that are under way on the instance and can be canceled. */
  function cancelable(
    address: InstanceAddress,
    names: readonly CancelableOperation[] = [],
  ): ActiveOperation[] {
    const found = active.get(addressText(address));
    return found?.cancel != null && names.some((name) => name === found.name) ? [found] : [];
  }

  const namesOf = (found: readonly ActiveOperation[]): ReadonlySet<CancelableOperation> =>
    new Set(found.map(({ name }) => name as CancelableOperation));

  /** The caller holds the lock; the guest is notified after the operation that holds it. */
  async function recover(address: InstanceAddress, context: OperationContext): Promise<boolean> {
    const recovered = await recoverOperation(address, context, deps);
    if (recovered) void notifyGuestResumed(address, context.logger, deps);
    return recovered;
  }

  /**
   * The same before an operation that ends the VM: what cannot be recovered with a VMM that does not answer is recovered
   * without it. `force`: its answer is not waited for at all. What would only be finished for its VM to be ended, is not:
   * the operation's own plan takes its place in the journal.
   */
  async function recoverToEnd(
    address: InstanceAddress,
    how: 'ask' | 'force',
    context: OperationContext,
  ): Promise<void> {
    const entry = await journal.read(address);
    if (entry === null) return;
    if (how === 'ask') {
      try {
        await recover(address, context);
        return;
      } catch (error) {
        context.logger.warn({ err: error }, 'an earlier operation is recovered without its VMM');
      }
    }
    const vmId = store.instance(address)?.net?.tap_dev;
    if (vmId !== undefined) await endVmm(vmId, ports);
    if (await isUndoneByEnd(entry.plan, ports)) return;
    await recover(address, context);
  }

  /** Watch a VM that could not be adopted when hostd started. The caller holds the lock. */
  async function watch(address: InstanceAddress, context: OperationContext): Promise<void> {
    const vm = store.instance(address)?.vm;
    if (vm == null || ports.vms.get(vm.spec.vmId) !== undefined) return;
    await adoptOrReap(address, context, deps);
  }

  /** Prepares, plans, and at once reserves what the plan uses, or checks that it could be. */
  async function plan<O, P>(
    operation: InstanceOperation<O, P>,
    call: Call<O>,
    isDryRun: boolean,
  ): Promise<{ readonly plan: Plan; readonly prepared: P; release(): void }> {
    let pool: PoolRecord | undefined;
    let prepared: P;
    do {
      // What was read and the pool's record belong together: of a pool that changes meanwhile, neither is used.
      pool = store.pool(call.address);
      prepared = (await operation.prepare?.(call, deps)) as P;
      if (!isDryRun && operation.readsSecrets?.(prepared) === true)
        await detectSecretsChange(call.address, deps);
    } while (store.pool(call.address) !== pool);
    // From here to the reservation nothing may be awaited: what was checked must still hold.
    const planned = operation.plan(call, prepared, deps);
    if (isDryRun) planned.reservation?.check();
    const release = isDryRun ? undefined : planned.reservation?.take();
    return { plan: planned.plan, prepared, release: release ?? (() => {}) };
  }

  async function run<O, P>(
    operation: InstanceOperation<O, P>,
    address: InstanceAddress,
    options: O,
    context: OperationContext,
  ): Promise<boolean> {
    const canceled = cancelable(address, operation.cancels?.(options));
    for (const { cancel } of canceled) cancel?.abort(operation.name);
    const key = addressText(address);
    const endsVm = operation.endsVm?.(options) ?? null;
    const limited = (work: () => Promise<void>): Promise<void> =>
      (endsVm === null ? slots : endSlots).run(address.tenant_id, work);
    const hung = endsVm === 'force' ? endVmmUnlessReached(address, context, ports) : null;
    return await mutex.run(key, async () => {
      const controller = new AbortController();
      const isCancelable = operation.isCancelable?.(options) === true;
      active.set(key, { name: operation.name, cancel: isCancelable ? controller : null });
      const { signal } = controller;
      const cutShort = (await hung?.reached()) ?? false;
      const call = { address, options, canceled: namesOf(canceled), cutShort, context, signal };
      const execute = async (): Promise<void> => {
        const { plan: planned, prepared, release } = await plan(operation, call, false);
        try {
          const { onFailure } = operation;
          await runJournaled(
            planned,
            context,
            deps,
            onFailure && ((failure) => onFailure(failure, call, prepared, deps)),
          );
        } finally {
          release();
        }
      };
      try {
        await limited(async () => {
          if (endsVm === null) await recover(address, context);
          else await recoverToEnd(address, endsVm, context);
        });
        if (operation.isDone?.(call, deps) === true) return false;
        if (operation.needsVm === true) await watch(address, context);
        // A guest that is waited for takes no place of those that may run.
        const executeLimited = (): Promise<void> => limited(execute);
        await (operation.around?.(call, deps, executeLimited) ?? executeLimited());
        return true;
      } finally {
        active.delete(key);
      }
    });
  }

  /** What an operation that did not end left, which one that `endsVm` so recovers before it is planned; null: nothing. */
  async function planRecovery(
    address: InstanceAddress,
    endsVm: 'ask' | 'force' | null,
  ): Promise<PlannedOperation | null> {
    if (store.instance(address) === undefined || active.has(addressText(address))) return null;
    const entry = await journal.read(address);
    if (entry === null) return null;
    if (endsVm === 'force' && (await isUndoneByEnd(entry.plan, ports))) return null;
    const { operation, onFailure } = entry.plan;
    const then = 'the request is planned from what that leaves';
    if (onFailure === 'finish') {
      return plannedOperation([entry.plan], [`first the ${operation} that did not end is finished; ${then}`]);
    }
    return plannedOperation([], [`first the ${operation} that did not end is undone or finished; ${then}`]);
  }

  async function dryRun<O, P>(
    operation: InstanceOperation<O, P>,
    address: InstanceAddress,
    options: O,
  ): Promise<PlannedOperation> {
    const recovery = await planRecovery(address, operation.endsVm?.(options) ?? null);
    if (recovery !== null) return recovery;
    const canceled = namesOf(cancelable(address, operation.cancels?.(options)));
    const call = { address, options, canceled, cutShort: false };
    const underWay = active.get(addressText(address))?.name;
    const notes: string[] = [];
    if (canceled.has('sleep')) notes.push('a sleep that waits for its guest is given up');
    else if (underWay !== undefined) {
      notes.push(
        `a ${underWay} of this instance is under way: the request would wait for it, and then be planned again`,
      );
    }
    if (operation.isDone?.(call, deps) === true) return plannedOperation([], notes);
    notes.push(...(operation.notes?.(call, deps) ?? []));
    const { plan: planned } = await plan(operation, call, true);
    return plannedOperation([planned], notes);
  }

  async function execute(plan: StepPlan, context: OperationContext): Promise<void> {
    const outcome = await executePlan(plan, ports, context.logger);
    if (outcome.status !== 'done') throw toCodedError(outcome.error);
  }

  /** Prepares, plans, and at once reserves what the plan uses. */
  async function planRecords<I, R, P>(
    operation: RecordOperation<I, R, P>,
    input: I,
    isDryRun: boolean,
  ): Promise<{ readonly planned: RecordPlan<R>; release(): void }> {
    assertUndamaged(store, operation.tenantOf(input));
    const prepared = (await operation.prepare?.(input, deps)) as P;
    const planned = operation.plan(input, prepared, deps);
    return { planned, release: (isDryRun ? undefined : planned.reserve?.()) ?? (() => {}) };
  }

  async function runFollowUp({ address, plan }: FollowUp, context: OperationContext): Promise<void> {
    await mutex.run(addressText(address), async () => {
      const planned = plan();
      if (planned === null) return;
      await execute(planned, context);
      context.logger.info({ ...address }, 'instance is ready: its pool has an image');
    });
  }

  return {
    run,
    dryRun,
    runOnRecords: async (operation, input, context) => {
      const { result, followUps = [] } = await mutex.run(`tenant ${operation.tenantOf(input)}`, async () => {
        const { planned, release } = await planRecords(operation, input, false);
        await execute(planned.plan, context).finally(release);
        return planned;
      });
      await Promise.all(followUps.map((followUp) => runFollowUp(followUp, context)));
      return result();
    },
    dryRunOnRecords: async (operation, input) => {
      const { planned } = await planRecords(operation, input, true);
      const followUps = (planned.followUps ?? []).flatMap((followUp) => followUp.plan() ?? []);
      return plannedOperation([planned.plan, ...followUps], planned.notes ?? []);
    },
    adopt: (address, context) =>
      mutex.run(addressText(address), async () => {
        await recover(address, context);
        return await adoptOrReap(address, context, deps);
      }),
    recover: (address, context) => mutex.run(addressText(address), () => recover(address, context)),
    notifyGuestResumed: (address, { logger }) => notifyGuestResumed(address, logger, deps),
    operationOf: (address) => active.get(addressText(address))?.name ?? null,
  };
}
