import { auditEntryViewSchema, instanceStatusSchema, sleepPolicySchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { apiErrorSchema } from './errors.js';
import { holdSchema } from './objects.js';
import { problemSchema } from './status.js';

const facts = z.record(z.string(), z.union([z.number(), z.string(), z.null()]));

/** What was done with one instance, and why. */
export const instanceDecisionSchema = z.object({
  /** RFC 3339, UTC: when it began. */
  at: z.string(),
  /** `planner`: a pass of agentd; `connection`: somebody connected to a published port; `operator`: over the API. */
  source: z.enum(['planner', 'connection', 'operator']),
  /** What was done, e.g. `sleep`. */
  action: z.string(),
  /** A sentence for people. */
  reason: z.string(),
  /** The values that were seen and the thresholds that they were compared with; null where no rule has any. */
  rule: z.object({ name: z.string(), values: facts, thresholds: facts }).nullable(),
  /** The request to hostd, e.g. `SleepInstance`; null when none was sent. */
  request: z.string().nullable(),
  /** What happened one after the other, for people. */
  steps: z.array(z.string()),
  duration_ms: z.number(),
  error: apiErrorSchema.nullable(),
});
export type InstanceDecision = z.infer<typeof instanceDecisionSchema>;

/** One thing that has to hold before agentd does something with an instance by itself. */
export const conditionSchema = z.object({
  /** E.g. `idle_seconds`. */
  name: z.string(),
  /** What must be so, for people. */
  must: z.string(),
  /** What is so now, for people. */
  now: z.string(),
  met: z.boolean(),
});
export type Condition = z.infer<typeof conditionSchema>;

/** Why an instance is as it is, and what would have to change for agentd to change that. */
export const whySchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  status: instanceStatusSchema,
  status_since: z.string().nullable(),
  operation: z.string().nullable(),
  hold: holdSchema.nullable(),
  /** Null: its pool has none, so agentd puts nothing of it to sleep by itself. */
  sleep_policy: sleepPolicySchema.nullable(),
  /** What agentd could do next by itself; all conditions must be met. Empty when there is nothing. */
  next: z.array(z.object({ action: z.string(), conditions: z.array(conditionSchema) })),
  /** What is in the way, of the instance or its pool, as the last pass saw it. */
  problems: z.array(problemSchema),
  /** Newest first, at most 32; `audit` is the entry of hostd's audit log, null when it is not found among the last ones. */
  decisions: z.array(instanceDecisionSchema.extend({ audit: auditEntryViewSchema.nullable() })),
});
export type Why = z.infer<typeof whySchema>;
