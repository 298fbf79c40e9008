import {
  type GuestTime,
  type Hold,
  type OperationResult,
  type OperationRoute,
  operationRoutes,
  toApiError,
} from '@mvm/agentd-api';
import { type InstanceMethod, isCodedError, METHODS, type RequestOf } from '@mvm/protocol';
import type { PeerCredentials } from '@mvm/unix-peer';
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
  const { actionTimeoutMs, client, decisions, holds, now, reconciler } = context;

  /** How long the guest may take, in seconds; 0 for a pool that hostd does not know: the operation itself says so. */
  async function guestSeconds(guestTime: GuestTime, request: InstanceRequest): Promise<number> {
    const asked = (request as Readonly<Record<string, unknown>>)[guestTime.field];
    if (typeof asked === 'number') return asked;
    const tenant = (await listTenants(client)).find(({ tenant_id }) => tenant_id === request.tenant_id);
    const pool = tenant?.pools.find(({ pool_id }) => pool_id === request.pool_id);
    return pool?.runtime_policy[guestTime.policy] ?? 0;
  }

  async function plan(request: InstanceRequest): Promise<OperationResult['plan']> {
    const { type: _, ...steps } = await client.request(
      { type: 'PlanRequest', request },
      { timeoutMs: actionTimeoutMs },
    );
    return steps;
  }

  async function operate(
    route: OperationRoute,
    input: OperationInput,
    caller: PeerCredentials,
  ): Promise<OperationResult> {
    const { tenant: tenant_id, pool: pool_id, instance: instance_id } = input.params;
    const address = { tenant_id, pool_id, instance_id };
    const { dry_run: dryRun, hold_seconds: holdSeconds = 0, ...fields } = input.query;
    // A route's query and body hold the request's own fields.
    const asked = { type: route.request, ...address, ...fields, ...input.body } as InstanceRequest;
    const { guestTime, status } = route;
    const isForced = 'force' in asked && asked.force === true;
    const seconds = guestTime === null || isForced ? null : await guestSeconds(guestTime, asked);
    // hostd gets the time that is waited for here.
    const request: InstanceRequest =
      guestTime === null || seconds === null ? asked : { ...asked, [guestTime.field]: seconds };
    const kind = holdSeconds === 0 ? null : route.hold;
    // One that is in that state already has its hold restarted: that keeps down what agentd would start, and up what it would stop.
    const isEnough = (error: unknown): boolean =>
      (kind !== null || route.hold === 'manual_run') && isThereAlready(error, status);
    if (dryRun) {
      const hold = kind === null ? null : makeHold(address, kind, holdSeconds, now());
      const steps = await plan(request).catch((error: unknown) => {
        if (!isEnough(error)) throw error;
        const then = hold === null ? 'nothing would be done' : 'only its hold would restart';
        const notes = [`it is ${status} already: ${then}`];
        return { operation: METHODS[route.request].operation, on_failure: null, steps: [], notes };
      });
      return { ...address, status, hold, plan: steps };
    }
    const timeoutMs = actionTimeoutMs + (seconds ?? 0) * 1000;
    const before = holds.find(address, now());
    // Held before it leaves its state: a pass that sees that must see the hold too.
    const hold: Hold | null = kind === null ? null : await holds.set(address, kind, holdSeconds, now());
    const startedAtMs = now();
    const record = (error: unknown): void =>
      decisions.add(address, {
        at: new Date(startedAtMs).toISOString(),
        source: 'operator',
        action: METHODS[route.request].operation,
        reason: 'asked for over the API',
        rule: null,
        request: route.request,
        steps: hold === null ? [] : [`held as ${hold.kind} until ${hold.until}`],
        duration_ms: Math.round(now() - startedAtMs),
        error: error === null ? null : toApiError(error),
      });
    try {
      await client.request(request, { timeoutMs, origin: { uid: caller.uid, cause: 'api' } });
      record(null);
    } catch (error) {
      if (!isEnough(error)) {
        record(error);
        // It is held as it was before.
        if (hold !== null) await holds.end(hold, now(), before);
        throw error;
      }
    }
    // What was made to run goes on running after a reboot.
    const keeps = route.hold === null && status === 'running' && before?.kind === 'manual_run';
    if (hold === null && before !== null && !keeps) await holds.end(before, now());
    reconciler.enqueue('request');
    return { ...address, status, hold, plan: null };
  }

  const handlers = Object.entries<OperationRoute>(operationRoutes).map(([name, route]) => [
    name,
    (input: OperationInput, caller: PeerCredentials) => operate(route, input, caller),
  ]);
  return Object.fromEntries(handlers) as Handlers<keyof typeof operationRoutes>;
}
