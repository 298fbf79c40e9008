import { z } from 'zod';
import { embeddedMessage } from '../json/embedded-message.js';
import { networkPolicySchema } from '../network-policy.js';
import { poolSpecSchema, quotasSchema } from '../objects.js';
import { tenantNetSchema } from '../tenant-net.js';
import { v1RequestSchemas, v1ResponseSchemas } from '../v1/schemas.js';
import { u64Schema } from '../wire-integers.js';
import { auditEntryViewSchema, auditReportViewSchema } from './audit-views.js';
import { networkDropsSchema, networkPlanSchema, networkReportSchema } from './network-views.js';
import {
  hostInfoSchema,
  instanceDetailSchema,
  instanceViewSchema,
  logChunkSchema,
  planSchema,
  poolViewSchema,
  tenantViewSchema,
} from './views.js';

const instanceAddress = { tenant_id: z.string(), pool_id: z.string(), instance_id: z.string() };
const page = {
  /** The `next_cursor` of the page before; absent or null for the first. */
  cursor: z.string().max(512).nullish(),
  /** At most this many objects, 1…500; 500 when absent. */
  limit: z.int().min(1).max(500).nullish(),
};

/** The requests of version 2 that `PlanRequest` can ask about: all but itself. */
export const plannableRequestSchemas = {
  ...v1RequestSchemas,
  /**
   * With `force` false, a guest that runs is asked to shut down, as by a power button, and has `shutdown_timeout_secs`
   * for it (absent: the pool's `graceful_shutdown_seconds`; 0: none); then its VM is ended. With `force` true or
   * absent it is ended at once, as in version 1. A destroy and a forced stop cut the wait short. Answer: `Ok`.
   */
  StopInstance: z.object({
    ...instanceAddress,
    force: z.boolean().optional(),
    shutdown_timeout_secs: u64Schema.optional(),
  }),
  /** Record a tenant and bring its network up; repeating it changes nothing. Answer: `Tenant`. */
  EnsureTenant: z.object({
    tenant_id: z.string(),
    net: tenantNetSchema,
    quotas: quotasSchema,
    /** What its guests may do on the network; absent: as by default. Applied to running instances at once. */
    policy: networkPolicySchema.optional(),
  }),
  /** Forget a tenant that has no pools, and take its network down. Answer: `Ok`. */
  RemoveTenant: z.object({ tenant_id: z.string() }),
  /** Record a pool or change what its next instances get; its network policy applies at once. Answer: `Pool`. */
  EnsurePool: z.object({ tenant_id: z.string(), pool_id: z.string(), spec: poolSpecSchema }),
  /** Forget a pool that has no instances. Answer: `Ok`. */
  RemovePool: z.object({ tenant_id: z.string(), pool_id: z.string() }),
  /** Create an instance; hostd chooses the id when there is none. Answer: `Instance`. */
  CreateInstance: z.object({ tenant_id: z.string(), pool_id: z.string(), instance_id: z.string().nullish() }),
  /** Stop a running instance's vCPUs and keep its memory. Answer: `Ok`. */
  WarmInstance: z.object(instanceAddress),
  /** Let a warm instance run on. Answer: `Ok`. */
  ResumeInstance: z.object(instanceAddress),
  /** Answer: `Tenants`, sorted by tenant and pool. */
  ListTenants: z.object({ ...page }),
  /** Answer: `Instances`, sorted by tenant, pool, instance. */
  ListInstances: z.object({ tenant_id: z.string().nullish(), pool_id: z.string().nullish(), ...page }),
  /** Answer: `InstanceDetail`. */
  DescribeInstance: z.object(instanceAddress),
  /** Bytes of a log from `offset`, or the last `max_bytes` (at most 256 KiB, the default) when it is absent. Answer: `Logs`. */
  InstanceLogs: z.object({
    ...instanceAddress,
    stream: z.enum(['console', 'vmm']).nullish(),
    offset: z.int().min(0).nullish(),
    max_bytes: z.int().min(1).max(262_144).nullish(),
  }),
  /** Entries of a tenant's audit log from `since` on (RFC 3339), oldest first; a removed tenant's too. Answer: `AuditEntries`. */
  AuditLog: z.object({ tenant_id: z.string(), since: z.string().max(64).nullish(), ...page }),
  /** Go through a tenant's audit log, or through all of them (at most 25 on a page). Answer: `AuditReports`. */
  VerifyAudit: z.object({ tenant_id: z.string().nullish(), ...page }),
  /** Answer: `Host`. */
  HostInfo: null,
  /**
   * Compare the kernel's network with what is recorded, of one tenant or (absent or null) of the host. `deep` also sends
   * packets from a guest's place on that tenant's bridge; it needs a tenant. Answer: `NetworkReport`.
   */
  VerifyNetwork: z.object({ tenant_id: z.string().nullish(), deep: z.boolean().nullish() }),
  /**
   * What would be run to bring the network in line as of now, or with `from_scratch` on a host that has none of it.
   * Changes nothing. Answer: `NetworkPlan`.
   */
  PlanNetwork: z.object({ tenant_id: z.string().nullish(), from_scratch: z.boolean().nullish() }),
  /** Why packets were dropped, and how many. Answer: `NetworkDrops`. */
  NetworkDrops: null,
} as const;

/** Version 2 keeps every version 1 request, and adds these. */
export const v2RequestSchemas = {
  ...plannableRequestSchemas,
  /**
   * Which steps a request would take now, out of the planner that carries it out; nothing is changed. A request that
   * would be refused is refused the same way. Answer: `Plan`.
   */
  PlanRequest: z.object({ request: embeddedMessage(plannableRequestSchemas) }),
} as const;

export const v2ResponseSchemas = {
  Ok: v1ResponseSchemas.Ok,
  Pong: v1ResponseSchemas.Pong,
  Error: z.object({
    message: z.string(),
    code: z.string().optional(),
    reason: z.string().optional(),
    retry: z.enum(['never', 'backoff', 'after-change']).optional(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
    hint: z.string().optional(),
  }),
  Tenant: tenantViewSchema,
  Pool: poolViewSchema,
  Instance: instanceViewSchema,
  Tenants: z.object({
    tenants: z.array(tenantViewSchema.extend({ pools: z.array(poolViewSchema) })),
    next_cursor: z.string().nullable(),
  }),
  Instances: z.object({ instances: z.array(instanceViewSchema), next_cursor: z.string().nullable() }),
  InstanceDetail: instanceDetailSchema,
  Logs: logChunkSchema,
  AuditEntries: z.object({ entries: z.array(auditEntryViewSchema), next_cursor: z.string().nullable() }),
  AuditReports: z.object({ reports: z.array(auditReportViewSchema), next_cursor: z.string().nullable() }),
  Host: hostInfoSchema,
  NetworkReport: networkReportSchema,
  NetworkPlan: networkPlanSchema,
  NetworkDrops: networkDropsSchema,
  Plan: planSchema,
} as const;
