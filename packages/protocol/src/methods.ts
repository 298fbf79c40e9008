import { z } from 'zod';
import { streamSpecSchema } from './guest/stream.js';
import { embeddedMessage } from './json/embedded-message.js';
import {
  changes,
  ensures,
  instanceAddress,
  type MethodDefinition,
  reads,
  requestsOf,
} from './method-definition.js';
import { networkPolicySchema } from './network-policy.js';
import { poolSpecSchema, quotasSchema } from './objects.js';
import { QUERIES } from './queries.js';
import type { Tagged } from './tagged.js';
import { tenantNetSchema } from './tenant-net.js';
import { UNSUPPORTED_FIELDS, v1RequestSchemas } from './v1/schemas.js';
import type { V2Response } from './v2/responses.js';
import { u64Schema } from './wire-integers.js';

/** The methods that `PlanRequest` can ask about: all but itself. */
const plannableMethods = {
  StartInstance: {
    since: 1,
    request: v1RequestSchemas.StartInstance,
    response: 'Ok',
    object: 'instance',
    operation: 'start',
    ...changes,
  },
  /**
   * With `force` false, a guest that runs is asked to shut down, as by a power button, and has `shutdown_timeout_secs`
   * for it (absent: the pool's `graceful_shutdown_seconds`; 0: none); then its VM is ended. With `force` true or
   * absent it is ended at once, as in version 1. A destroy and a forced stop cut the wait short.
   */
  StopInstance: {
    since: 1,
    request: z.object({
      ...instanceAddress,
      force: z.boolean().optional(),
      shutdown_timeout_secs: u64Schema.optional(),
    }),
    response: 'Ok',
    object: 'instance',
    operation: 'stop',
    ...changes,
  },
  SleepInstance: {
    since: 1,
    request: v1RequestSchemas.SleepInstance,
    response: 'Ok',
    object: 'instance',
    operation: 'sleep',
    ...changes,
  },
  WakeInstance: {
    since: 1,
    request: v1RequestSchemas.WakeInstance,
    response: 'Ok',
    object: 'instance',
    operation: 'wake',
    ...changes,
  },
  DestroyInstance: {
    since: 1,
    request: v1RequestSchemas.DestroyInstance,
    response: 'Ok',
    object: 'instance',
    operation: 'destroy',
    ...changes,
  },
  SetupNetwork: {
    since: 1,
    request: v1RequestSchemas.SetupNetwork,
    response: 'Ok',
    object: 'tenant',
    operation: 'setup_network',
    ...ensures,
  },
  TeardownNetwork: {
    since: 1,
    request: v1RequestSchemas.TeardownNetwork,
    response: 'Ok',
    object: 'tenant',
    operation: 'teardown_network',
    ...ensures,
  },
  Ping: {
    since: 1,
    request: null,
    response: 'Pong',
    object: 'host',
    operation: 'ping',
    ...reads,
  },
  /** Record a tenant and bring its network up. */
  EnsureTenant: {
    since: 2,
    request: z.object({
      tenant_id: z.string(),
      net: tenantNetSchema,
      quotas: quotasSchema,
      /** What its guests may do on the network; absent: as by default. Applied to running instances at once. */
      policy: networkPolicySchema.optional(),
    }),
    response: 'Tenant',
    object: 'tenant',
    operation: 'ensure_tenant',
    ...ensures,
  },
  /** Forget a tenant that has no pools, and take its network down. */
  RemoveTenant: {
    since: 2,
    request: z.object({ tenant_id: z.string() }),
    response: 'Ok',
    object: 'tenant',
    operation: 'remove_tenant',
    ...changes,
  },
  /** Record a pool or change what its next instances get; its network policy applies at once. */
  EnsurePool: {
    since: 2,
    request: z.object({ tenant_id: z.string(), pool_id: z.string(), spec: poolSpecSchema }),
    response: 'Pool',
    object: 'pool',
    operation: 'ensure_pool',
    ...ensures,
  },
  /** Forget a pool that has no instances. */
  RemovePool: {
    since: 2,
    request: z.object({ tenant_id: z.string(), pool_id: z.string() }),
    response: 'Ok',
    object: 'pool',
    operation: 'remove_pool',
    ...changes,
  },
  /** Create an instance; hostd chooses the id when there is none. */
  CreateInstance: {
    since: 2,
    request: z.object({ tenant_id: z.string(), pool_id: z.string(), instance_id: z.string().nullish() }),
    response: 'Instance',
    object: 'pool',
    operation: 'create',
    ...changes,
  },
  /** Stop a running instance's vCPUs and keep its memory. */
  WarmInstance: {
    since: 2,
    request: z.object(instanceAddress),
    response: 'Ok',
    object: 'instance',
    operation: 'warm',
    ...changes,
  },
  /** Let a warm instance run on. */
  ResumeInstance: {
    since: 2,
    request: z.object(instanceAddress),
    response: 'Ok',
    object: 'instance',
    operation: 'resume',
    ...changes,
  },
  /**
   * End the VM and boot the instance again, with its disks, its address, and its pool's present image and resources. A
   * guest that runs shuts down first, as in a `StopInstance` with `force` false, unless `force` is true.
   */
  RebootInstance: {
    since: 2,
    request: z.object({
      ...instanceAddress,
      force: z.boolean().optional(),
      shutdown_timeout_secs: u64Schema.optional(),
    }),
    response: 'Ok',
    object: 'instance',
    operation: 'reboot',
    ...changes,
  },
  ...QUERIES,
} as const satisfies Record<string, MethodDefinition>;

/** The requests that `PlanRequest` can ask about, by tag. */
export const plannableRequestSchemas = requestsOf(plannableMethods);

/**
 * Every method of the contract, in the order of the JSON Schemas. A method that is missing somewhere does not compile
 * there. Source: docs/protocol.md.
 */
export const METHODS = {
  ...plannableMethods,
  /**
   * Which steps a request would take now, out of the planner that carries it out; nothing is changed. A request that
   * would be refused is refused the same way.
   */
  PlanRequest: {
    since: 2,
    request: z.object({ request: embeddedMessage(plannableRequestSchemas, UNSUPPORTED_FIELDS) }),
    response: 'Plan',
    object: 'host',
    operation: 'plan_request',
    ...reads,
  },
  /**
   * Open a stream into a running guest. It must be the only request of its connection, which carries the stream's frames
   * once it is answered. It changes nothing that hostd records, and is audited all the same.
   */
  OpenStream: {
    since: 2,
    request: z.object({ ...instanceAddress, open: streamSpecSchema }),
    response: 'StreamOpened',
    object: 'instance',
    operation: 'open_stream',
    ...reads,
  },
} as const satisfies Record<string, MethodDefinition>;

/** The requests of version 2, by tag. */
export const v2RequestSchemas = requestsOf(METHODS);

export type MethodName = keyof typeof METHODS;
/** A request of version 2 in memory; every version 1 request is one. */
export type V2Request = Tagged<typeof v2RequestSchemas>;
/** A request that `PlanRequest` can ask about. */
export type PlannableRequest = Tagged<typeof plannableRequestSchemas>;
/** The request of a method: `RequestOf<'Ping'>` is `{type: 'Ping'}`. */
export type RequestOf<M extends MethodName> = Extract<V2Request, { type: M }>;
/** The response that answers a method, unless an Error does: `ResponseOf<'HostInfo'>` is the `Host` response. */
export type ResponseOf<M extends MethodName> = Extract<V2Response, { type: (typeof METHODS)[M]['response'] }>;

/** The methods for which `METHODS` has these values: `MethodsWith<{mutates: true}>` are those that change something. */
export type MethodsWith<P extends Partial<MethodDefinition>> = {
  [M in MethodName]: (typeof METHODS)[M] extends P ? M : never;
}[MethodName];
/** The methods that change one instance. */
export type InstanceMethod = MethodsWith<{ object: 'instance'; mutates: true }>;

/**
 * What stands in front of the message of a method's failure: version 1 peers tell by it what failed. Null for a method
 * that has none. Source: docs/protocol.md#version-1.
 */
export function failurePrefix(method: MethodName): string | null {
  const { since, mutates, operation } = METHODS[method];
  return since === 1 && mutates ? `${operation.replaceAll('_', ' ')} failed: ` : null;
}
