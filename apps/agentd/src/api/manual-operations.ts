import { type Hold, type OperationResult, type OperationRoute, operationRoutes } from '@mvm/agentd-api';
import { type InstanceMethod, isCodedError, METHODS, type RequestOf } from '@mvm/protocol';
import { listTenants } from '../reconcile/observe.js';
import { makeHold } from '../state/hold-store.js';
import type { ApiContext, Handlers } from './handler-types.js';

type InstanceRequest = RequestOf<InstanceMethod>;

/** A request of any of the operations' routes, decoded. */
interface OperationInput {
  readonly params: { readonly tenant: string; readonly pool: string; readonly instance: string };
  readonly query: { readonly dry_run: boolean; readonly hold_seconds?: number };
  readonly body?: object;
}

/** Whether hostd refused because the instance is in the wanted state; a version 1 hostd does not say. */
function isThereAlready(error: unknown, status: OperationResult['status']): boolean {
  return (
    isCodedError(error) && error.reason === 'instance.invalid_transition' && error.details.from === status
  );
}

/**
 * Operations on instances that an operator asks for over the API. They go to hostd at once, and the next pass sees what
 * they did. Each sets the instance's hold or lifts it, as its route says.
 */
export function operationHandlers(context: ApiContext): Handlers<keyof typeof operationRoutes> {
  const { actionTimeoutMs, client, holds, now, reconciler } = context;

  /** How long the guest may take, in milliseconds; 0 for a pool that hostd does not know: the operation itself says so. */
  async function guestTimeMs(route: OperationRoute, request: InstanceRequest): Promise<number> {
    const { guestTime } = route;
    if (guestTime === null || ('force' in request && request.force)) return 0;
    const asked = (request as Readonly<Record<string, unknown>>)[guestTime.field];
    if (typeof asked === 'number') return asked * 1000;
    const tenant = (await listTenants(client)).find(({ tenant_id }) => tenant_id === request.tenant_id);
    const pool = tenant?.pools.find(({ pool_id }) => pool_id === request.pool_id);
    return (pool?.runtime_policy[guestTime.policy] ?? 0) * 1000;
  }

  async function plan(request: InstanceRequest): Promise<OperationResult['plan']> {
    const { type: _, ...steps } = await client.request(
      { type: 'PlanRequest', request },
      { timeoutMs: actionTimeoutMs },
    );
    return steps;
  }

  async function operate(route: OperationRoute, input: OperationInput): Promise<OperationResult> {
    const { tenant: tenant_id, pool: pool_id, instance: instance_id } = input.params;
    const address = { tenant_id, pool_id, instance_id };
    const { dry_run: dryRun, hold_seconds: seconds = 0, ...fields } = input.query;
    // A route's query and body hold the request's own fields.
    const request = { type: route.request, ...address, ...fields, ...input.body } as InstanceRequest;
    const { status } = route;
    const kind = seconds === 0 ? null : route.hold;
    // One that is in that state already is held anew: that keeps down what agentd would start, and up what it would stop.
    const isEnough = (error: unknown): boolean =>
      (kind !== null || route.hold === 'manual_run') && isThereAlready(error, status);
    if (dryRun) {
      const hold = kind === null ? null : makeHold(address, kind, seconds, now());
      const steps = await plan(request).catch((error: unknown) => {
        if (!isEnough(error)) throw error;
        const then = hold === null ? 'nothing would be done' : 'only its hold would begin anew';
        const notes = [`it is ${status} already: ${then}`];
        return { operation: METHODS[route.request].operation, on_failure: null, steps: [], notes };
      });
      return { ...address, status, hold, plan: steps };
    }
    const timeoutMs = actionTimeoutMs + (await guestTimeMs(route, request));
    const before = holds.find(address, now());
    // Held before it leaves its state: a pass that sees that must see the hold too.
    const hold: Hold | null = kind === null ? null : await holds.set(address, kind, seconds, now());
    try {
      await client.request(request, { timeoutMs });
    } catch (error) {
      if (!isEnough(error)) {
        // It is held as it was before.
        if (hold !== null && before !== null) await holds.put(before, now());
        else if (hold !== null) await holds.lift(address, now());
        throw error;
      }
    }
    if (hold === null) await holds.lift(address, now());
    reconciler.nudge('request');
    return { ...address, status, hold, plan: null };
  }

  const handlers = Object.entries<OperationRoute>(operationRoutes).map(([name, route]) => [
    name,
    (input: OperationInput) => operate(route, input),
  ]);
  return Object.fromEntries(handlers) as Handlers<keyof typeof operationRoutes>;
}
