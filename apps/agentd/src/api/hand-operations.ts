import type { Hold, OperationResult } from '@mvm/agentd-api';
import type { V2Request } from '@mvm/protocol';
import type { ApiContext } from './handler-types.js';

type OperationRequest = Extract<
  V2Request,
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

export interface HandOperations {
  /** Carry an operation out, end the instance's hold, and let a pass look at what it did. */
  lift(request: OperationRequest, status: OperationResult['status']): Promise<OperationResult>;
  /**
   * Carry an operation out and hold the instance's slot for `seconds`, or not at all for 0. When it fails, the instance
   * is held as it was before. hostd may take `extraMs` beyond the time that every operation has.
   */
  hold(
    request: OperationRequest,
    status: OperationResult['status'],
    holding: { readonly kind: Hold['kind']; readonly seconds: number },
    extraMs?: number,
  ): Promise<OperationResult>;
}

/** Operations on instances that somebody asks for over the API, with the holds that they set and end. */
export function createHandOperations(context: ApiContext): HandOperations {
  const { actionTimeoutMs, client, holds, now, reconciler } = context;

  return {
    async lift(request, status) {
      const { tenant_id, pool_id, instance_id } = request;
      const address = { tenant_id, pool_id, instance_id };
      await client.request(request, { timeoutMs: actionTimeoutMs });
      await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status, hold: null };
    },

    async hold(request, status, { kind, seconds }, extraMs = 0) {
      const { tenant_id, pool_id, instance_id } = request;
      const address = { tenant_id, pool_id, instance_id };
      const before = holds.find(address, now());
      // Held before it leaves its state: a pass that sees that must see the hold too.
      const hold = seconds === 0 ? null : await holds.set(address, kind, seconds, now());
      try {
        await client.request(request, { timeoutMs: actionTimeoutMs + extraMs });
      } catch (error) {
        if (before !== null) await holds.put(before, now());
        else if (hold !== null) await holds.lift(address, now());
        throw error;
      }
      if (hold === null) await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status, hold };
    },
  };
}
