import {
  instanceDetailSchema,
  instanceStatusSchema,
  planSchema,
  poolViewSchema,
  tenantViewSchema,
} from '@mvm/protocol/schemas';
import { z } from 'zod';

const count = z.int().min(0);

/** How many instances a pool has in each state; `destroyed` ones are not counted. */
export const statusCountsSchema = z.object({
  created: count,
  ready: count,
  running: count,
  warm: count,
  sleeping: count,
  stopped: count,
});
export type StatusCounts = z.infer<typeof statusCountsSchema>;

/** A pool as hostd records it, with its instances counted. */
export const poolSummarySchema = poolViewSchema.extend({ instances: statusCountsSchema });
export type PoolSummary = z.infer<typeof poolSummarySchema>;

/** A tenant as hostd records it, with its pools, sorted by pool. */
export const tenantSummarySchema = tenantViewSchema.extend({ pools: z.array(poolSummarySchema) });
export type TenantSummary = z.infer<typeof tenantSummarySchema>;

/** Why agentd leaves an instance alone for now. Times are RFC 3339, UTC. */
export const holdSchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  /**
   * What an operator did with it: stopped it, put it to sleep, warmed it, or made it run (`manual_run`: started, woken or
   * resumed). It is left so until `until`.
   */
  kind: z.enum(['manual_stop', 'manual_sleep', 'manual_warm', 'manual_run']),
  since: z.string(),
  until: z.string(),
});
export type Hold = z.infer<typeof holdSchema>;

/** One instance with everything that hostd and agentd know of it. */
export const instanceInfoSchema = instanceDetailSchema.extend({ hold: holdSchema.nullable() });
export type InstanceInfo = z.infer<typeof instanceInfoSchema>;

/** What an operation on an instance left behind; with `dry_run`, what it would leave. */
export const operationResultSchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  status: instanceStatusSchema,
  /** The hold that the operation set; null when it set none or lifted one. */
  hold: holdSchema.nullable(),
  /** The steps that hostd would take, of a dry run; null when they were taken. */
  plan: planSchema.nullable(),
});
export type OperationResult = z.infer<typeof operationResultSchema>;
