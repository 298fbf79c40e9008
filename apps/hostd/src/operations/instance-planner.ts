import type { Journal } from '../execute/journal.js';
import type { HostPorts } from '../execute/ports.js';
import type { Plan } from '../execute/step.js';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance } from '../state/store.js';
import type { InstanceOperations } from './instance-operations.js';
import { type PlannedOperation, plannedOperation } from './planned-operation.js';
import {
  findStartImage,
  findWakeLaunch,
  type PrepareDeps,
  prepareDestroy,
  preparePause,
  prepareSleep,
  prepareStart,
  prepareStop,
  prepareWake,
  type SleepOptions,
  sleepDrainSecs,
} from './prepare-instance.js';
import { type StopOptions, stopShutdownSecs } from './shut-down-guest.js';

/** The operations that need to know no more than their instance. */
export type PlainOperation = 'start' | 'wake' | 'warm' | 'resume';

/** An operation on an instance that somebody thinks of. */
export type InstanceIntent =
  | { readonly operation: PlainOperation }
  | { readonly operation: 'stop'; readonly options: StopOptions }
  | { readonly operation: 'sleep'; readonly options: SleepOptions }
  | { readonly operation: 'destroy'; readonly wipeVolumes: boolean };

export interface InstancePlannerDeps extends PrepareDeps {
  readonly ports: HostPorts;
  readonly journal: Journal;
  readonly operations: Pick<InstanceOperations, 'operationOf' | 'isDraining'>;
}

/** Plans operations on an instance without carrying them out. Changes nothing. */
export interface InstancePlanner {
  /**
   * The steps that the operation would take if it began now, by the functions that prepare the real one. Refused as that
   * would be. It waits for no lock: what is under way on the instance is in the notes.
   */
  plan(address: InstanceAddress, intent: InstanceIntent): Promise<PlannedOperation>;
}

const OVERTAKING: ReadonlySet<InstanceIntent['operation']> = new Set(['stop', 'destroy', 'wake']);

export function createInstancePlanner(deps: InstancePlannerDeps): InstancePlanner {
  const { ports, journal, operations, store, reservations } = deps;

  async function planOf(address: InstanceAddress, intent: InstanceIntent): Promise<Plan> {
    switch (intent.operation) {
      case 'start': {
        const image = await findStartImage(address, deps, ports.images);
        const { plan } = prepareStart(address, image, deps);
        reservations.checkStart(address.tenant_id);
        return plan;
      }
      case 'wake': {
        const launch = await findWakeLaunch(address, deps, ports);
        const { plan } = prepareWake(address, launch, deps);
        reservations.checkStart(address.tenant_id);
        return plan;
      }
      case 'sleep':
        return prepareSleep(address, deps);
      case 'warm':
      case 'resume':
        return preparePause(address, intent.operation, deps);
      case 'stop':
        return prepareStop(address, deps);
      case 'destroy':
        return prepareDestroy(address, intent.wipeVolumes, deps);
    }
  }

  /** What an operation that did not end left, which the next one settles before it is planned; null: nothing. */
  async function planSettling(address: InstanceAddress): Promise<PlannedOperation | null> {
    if (store.instance(address) === undefined || operations.operationOf(address) !== null) return null;
    const entry = await journal.read(address);
    if (entry === null) return null;
    const { operation, onFailure } = entry.plan;
    const then = 'the request is planned from what that leaves';
    if (onFailure === 'finish') {
      return plannedOperation([entry.plan], [`first the ${operation} that did not end is finished; ${then}`]);
    }
    return plannedOperation([], [`first the ${operation} that did not end is undone or finished; ${then}`]);
  }

  return {
    plan: async (address, intent) => {
      const settling = await planSettling(address);
      if (settling !== null) return settling;
      const notes: string[] = [];
      const draining = operations.isDraining(address) && OVERTAKING.has(intent.operation);
      const active = operations.operationOf(address);
      if (draining) notes.push('a sleep that waits for its guest is given up');
      else if (active !== null) {
        notes.push(
          `a ${active} of this instance is under way: the request would wait for it, and be planned anew`,
        );
      }
      // The sleep that a wake keeps from happening leaves the instance running.
      if (draining && intent.operation === 'wake' && requireInstance(store, address).status === 'running') {
        return plannedOperation([], notes);
      }
      const drainSecs = intent.operation === 'sleep' ? sleepDrainSecs(address, intent.options, deps) : null;
      if (drainSecs !== null)
        notes.push(`before the first step the guest may drain for up to ${drainSecs} seconds`);
      const shutdownSecs =
        intent.operation === 'stop' ? stopShutdownSecs(address, intent.options, deps) : null;
      if (shutdownSecs !== null)
        notes.push(`before the first step the guest may shut down for up to ${shutdownSecs} seconds`);
      return plannedOperation([await planOf(address, intent)], notes);
    },
  };
}
