import type { PlanFailure } from '../execute/execute-plan.js';
import type { Journal } from '../execute/journal.js';
import type { HostPorts } from '../execute/ports.js';
import type { OperationName, Plan, StepPlan } from '../execute/step.js';
import type { PortRange } from '../plan/plan-pool.js';
import type { EndInput } from '../plan/plan-stop.js';
import type { AuditSink } from '../state/audit-log.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance, requireTenant, type StateStore } from '../state/store.js';
import type { HostFacts } from '../system/host-facts.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';
import type { Accelerator } from '../vmm/vmm.js';
import type { Clock, OperationContext } from './operation-context.js';
import type { Reservations } from './reservations.js';

/** What operations work with; built once. */
export interface OperationDeps {
  readonly ports: HostPorts;
  readonly store: StateStore;
  readonly journal: Journal;
  /** For what hostd finds out by itself; the line of a request is written by whoever answers it. */
  readonly audit: AuditSink;
  readonly reservations: Reservations;
  readonly mutex: KeyedMutex;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clusterCidr: string;
  /** What this host has besides us, as of the moment of asking. */
  readonly hostFacts: HostFacts;
  /** Host ports that pools may publish. */
  readonly publishPorts: readonly PortRange[];
  readonly vmUidBase: number;
  /** How guests' instructions run. */
  readonly accelerator: Accelerator;
}

/** What a plan is about to use, and no record shows yet. */
export interface Reservation {
  /** Throws what `take` would throw. */
  check(): void;
  /** Reserve it; returns the release. */
  take(): () => void;
}

/** Operations that wait for a guest, and that another one may cut short meanwhile. */
export type CancelableOperation = Extract<OperationName, 'sleep' | 'stop' | 'reboot'>;

/** One call of an operation on an instance. */
export interface Call<O> {
  readonly address: InstanceAddress;
  readonly options: O;
  /** Operations that were under way, and that this call has cut short. */
  readonly canceled: ReadonlySet<CancelableOperation>;
  /** Whether the VMM was ended under an operation that did not end by itself. */
  readonly cutShort: boolean;
}

/** A call that runs, and is no dry run. */
export interface RunningCall<O> extends Call<O> {
  readonly context: OperationContext;
  /** Aborted by a call that cuts this one short; its operation's name is the reason. */
  readonly signal: AbortSignal;
}

/**
 * An operation on an instance, one file each: from options to a plan, and what goes around that. The runner locks,
 * recovers, reserves, journals and executes. A dry run is the same up to the reservation. `P` is what is read before it is
 * planned.
 */
export interface InstanceOperation<O, P = void> {
  readonly name: OperationName;
  /** The VM is watched first, if it could not be adopted when hostd started. */
  readonly needsVm?: true;
  /** Operations under way that it cuts short. */
  cancels?(options: O): readonly CancelableOperation[];
  /** Whether another operation may cut this one short. */
  isCancelable?(options: O): boolean;
  /**
   * Of an operation that ends the VM, whatever is under way on the instance. `ask`: the VMM is asked first, to recover what
   * an earlier operation left. `force`: it is not, and an operation under way is waited for only so long.
   */
  endsVm?(options: O): 'ask' | 'force';
  /** Whether there is nothing left to do, once it has its turn. */
  isDone?(call: Call<O>, deps: OperationDeps): boolean;
  /** Reads what the plan needs; changes nothing. Done again when the pool's record changes meanwhile. */
  prepare?(call: Call<O>, deps: OperationDeps): Promise<P>;
  /** Whether the guest gets its tenant's secrets as they are now. */
  readsSecrets?(prepared: P): boolean;
  /** Synchronous, so that what it has checked still holds when it is reserved. Changes nothing. */
  plan(
    call: Call<O>,
    prepared: P,
    deps: OperationDeps,
  ): { readonly plan: Plan; readonly reservation?: Reservation };
  /** What matters to who reads a plan, and is no step. Throws what the operation would be refused with. */
  notes?(call: Call<O>, deps: OperationDeps): string[];
  /** What comes before and after: `run` plans and executes. */
  around?(call: RunningCall<O>, deps: OperationDeps, run: () => Promise<void>): Promise<void>;
  /** After a failure, before a journal of which nothing is left is cleared. Returns what is thrown instead. */
  onFailure?(failure: PlanFailure, call: RunningCall<O>, prepared: P, deps: OperationDeps): Promise<unknown>;
}

/** A plan for one instance that follows from one for records: it becomes ready. */
export interface FollowUp {
  readonly address: InstanceAddress;
  /** Under the instance's lock; null when there is nothing to do any more. */
  plan(): StepPlan | null;
}

/** What a plan for records leads to. */
export interface RecordPlan<R> {
  readonly plan: StepPlan;
  readonly reserve?: () => () => void;
  /** What is done once this plan is executed. */
  readonly followUps?: readonly FollowUp[];
  readonly notes?: readonly string[];
  /** What is recorded then. */
  result(): R;
}

/**
 * An operation on tenants, pools, and which instances there are. It needs no journal: the records say what is wanted, and
 * the next start of hostd brings the host in line.
 */
export interface RecordOperation<I, R, P = void> {
  /** Whose lock it takes. */
  tenantOf(input: I): string;
  /** Reads what the plan needs; changes nothing. */
  prepare?(input: I, deps: OperationDeps): Promise<P>;
  /** Synchronous, so that what it has checked still holds when it is reserved. Changes nothing. */
  plan(input: I, prepared: P, deps: OperationDeps): RecordPlan<R>;
}

/** What every plan that ends a VM begins with. Throws `not_found`. */
export function endInput(address: InstanceAddress, { store, vmUidBase }: OperationDeps): EndInput {
  const instance = requireInstance(store, address);
  return { tenant: requireTenant(store, address.tenant_id), instance, vmUidBase };
}
