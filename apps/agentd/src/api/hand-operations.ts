import type { Hold, OperationResult } from '@mvm/agentd-api';
import { isCodedError, type PlannableRequest } from '@mvm/protocol';
import { makeHold } from '../state/hold-store.js';
import type { ApiContext } from './handler-types.js';

type OperationRequest = Extract<
  PlannableRequest,
  {
    type:
      | 'StartInstance'
      | 'StopInstance'
      | 'SleepInstance'
      | 'WakeInstance'
      | 'WarmInstance'
      | 'ResumeInstance'
      | 'DestroyInstance';
  }
>;

/** What every operation by hand may have said of it. */
export interface OperationMode {
  /** Only plan it: nothing is changed, neither on the host nor among the holds. */
  readonly dryRun: boolean;
}

export interface HandOperations {
  /** Carry an operation out, end the instance's hold, and let a pass look at what it did. */
  lift(
    request: OperationRequest,
    status: OperationResult['status'],
    mode: OperationMode,
  ): Promise<OperationResult>;
  /**
   * Carry an operation out and hold the instance's slot for `seconds`, or not at all for 0. When it fails, the instance
   * is held as it was before; one that is in that state already is held anew, which keeps down what agentd would start
   * again, and keeps up what it would stop. hostd may take `extraMs` beyond the time that every operation has.
   */
  hold(
    request: OperationRequest,
    status: OperationResult['status'],
    holding: OperationMode & {
      readonly kind: Hold['kind'];
      readonly seconds: number;
      readonly extraMs?: number;
    },
  ): Promise<OperationResult>;
}

/** Whether hostd refused because the instance is in the wanted state; a version 1 hostd does not say. */
function isThereAlready(error: unknown, status: OperationResult['status']): boolean {
  return (
    isCodedError(error) && error.reason === 'instance.invalid_transition' && error.details.from === status
  );
}

/** As hostd calls it in a plan. */
function operationOf({ type }: OperationRequest): string {
  return type.replace('Instance', '').toLowerCase();
}

/** Operations on instances that somebody asks for over the API, with the holds that they set and end. */
export function createHandOperations(context: ApiContext): HandOperations {
  const { actionTimeoutMs, client, holds, now, reconciler } = context;

  async function plan(
    request: OperationRequest,
    status: OperationResult['status'],
    hold: Hold | null,
  ): Promise<OperationResult> {
    const { tenant_id, pool_id, instance_id } = request;
    const { type: _, ...steps } = await client.request(
      { type: 'PlanRequest', request },
      { timeoutMs: actionTimeoutMs },
    );
    return { tenant_id, pool_id, instance_id, status, hold, plan: steps };
  }

  return {
    async lift(request, status, { dryRun }) {
      if (dryRun) return plan(request, status, null);
      const { tenant_id, pool_id, instance_id } = request;
      const address = { tenant_id, pool_id, instance_id };
      await client.request(request, { timeoutMs: actionTimeoutMs });
      await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status, hold: null, plan: null };
    },

    async hold(request, status, { kind, seconds, dryRun, extraMs = 0 }) {
      const { tenant_id, pool_id, instance_id } = request;
      const address = { tenant_id, pool_id, instance_id };
      const isEnough = (error: unknown): boolean =>
        (seconds > 0 || kind === 'manual_run') && isThereAlready(error, status);
      if (dryRun) {
        const planned = seconds === 0 ? null : makeHold(address, kind, seconds, now());
        try {
          return await plan(request, status, planned);
        } catch (error) {
          if (!isEnough(error)) throw error;
          const notes = [
            `it is ${status} already: ${planned === null ? 'nothing would be done' : 'only its hold would begin anew'}`,
          ];
          const none = { operation: operationOf(request), on_failure: null, steps: [], notes };
          return { ...address, status, hold: planned, plan: none };
        }
      }
      const before = holds.find(address, now());
      // Held before it leaves its state: a pass that sees that must see the hold too.
      const hold = seconds === 0 ? null : await holds.set(address, kind, seconds, now());
      try {
        await client.request(request, { timeoutMs: actionTimeoutMs + extraMs });
      } catch (error) {
        if (!isEnough(error)) {
          if (before !== null) await holds.put(before, now());
          else if (hold !== null) await holds.lift(address, now());
          throw error;
        }
      }
      if (hold === null) await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status, hold, plan: null };
    },
  };
}
