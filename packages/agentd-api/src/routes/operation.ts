import { type InstanceMethod, type InstanceStatus, METHODS } from '@mvm/protocol';
import { INSTANCE_TRANSITIONS } from '@mvm/protocol/state';
import type { z } from 'zod';
import { type Hold, operationResultSchema } from '../objects.js';
import { ofInstance } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** A time of the guest's own, on top of what the operation takes. */
export interface GuestTime {
  /** The field of the request that says how many seconds. */
  readonly field: 'shutdown_timeout_secs' | 'drain_timeout_secs';
  /** Where the pool says it, for a request that does not. */
  readonly policy: 'graceful_shutdown_seconds' | 'drain_timeout_seconds';
}

/**
 * A route for one operation on one instance. What its query and its body hold beside `dry_run` and `hold_seconds` are
 * fields of the request to hostd, of the same names.
 */
export interface OperationRoute extends RouteDefinition {
  /** The method of the contract that it carries out. */
  readonly request: InstanceMethod;
  /** The state in which the instance is afterwards. */
  readonly status: InstanceStatus;
  /** How the instance is held afterwards, for `hold_seconds`; null: a hold that keeps it in another state is lifted. */
  readonly hold: Hold['kind'] | null;
  /** Null when the guest gets no time of its own; a request with `force` gives it none. */
  readonly guestTime: GuestTime | null;
}

/** The route of an operation: path and resulting state follow from the contract. */
export function operation<Q extends z.ZodObject, B extends z.ZodObject | null = null>(
  request: InstanceMethod,
  summary: string,
  options: {
    readonly query: Q;
    readonly body?: B;
    readonly hold?: Hold['kind'];
    readonly guestTime?: GuestTime;
  },
) {
  const { operation: name } = METHODS[request];
  return {
    method: 'POST',
    path: `/v1/instances/:tenant/:pool/:instance/${name}`,
    summary,
    params: ofInstance,
    query: options.query,
    // Absent exactly when B is null.
    body: (options.body ?? null) as B,
    response: operationResultSchema,
    format: 'json',
    request,
    status: INSTANCE_TRANSITIONS[name].to,
    hold: options.hold ?? null,
    guestTime: options.guestTime ?? null,
  } as const satisfies OperationRoute;
}
