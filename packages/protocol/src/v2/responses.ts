import { z } from 'zod';
import type { Tagged } from '../tagged.js';
import { v1ResponseSchemas } from '../v1/schemas.js';
import { instanceActivitySchema } from './activity-view.js';
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

/** The responses of version 2, by tag; null for one without fields. */
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
  /** `monotonic_ms`: milliseconds since the host booted, at which the counters were read; no change of its clock moves it. */
  Activity: z.object({
    activity: z.array(instanceActivitySchema),
    monotonic_ms: z.number(),
    next_cursor: z.string().nullable(),
  }),
  Logs: logChunkSchema,
  AuditEntries: z.object({ entries: z.array(auditEntryViewSchema), next_cursor: z.string().nullable() }),
  AuditReports: z.object({ reports: z.array(auditReportViewSchema), next_cursor: z.string().nullable() }),
  /** `changed` is false when the time ran out. */
  Changes: z.object({ cursor: z.string(), changed: z.boolean() }),
  Host: hostInfoSchema,
  NetworkReport: networkReportSchema,
  NetworkPlan: networkPlanSchema,
  NetworkDrops: networkDropsSchema,
  Plan: planSchema,
  /** From here on the connection carries frames of the stream. */
  StreamOpened: null,
} as const;

/** A response of version 2 in memory; an Error carries code, reason, retry, details and hint. */
export type V2Response = Tagged<typeof v2ResponseSchemas>;
