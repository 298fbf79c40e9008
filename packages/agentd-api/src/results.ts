import { z } from 'zod';
import { apiErrorSchema } from './errors.js';
import { actionViewSchema, problemSchema } from './status.js';

/** A sha256 revision, an applied or planned desired state, and what it leads to. */
export const applyResultSchema = z.object({
  revision: z.string(),
  /** False for a dry run: nothing was changed. */
  applied: z.boolean(),
  /** The actions of the first pass for this state, in the order in which they are started. */
  actions: z.array(actionViewSchema),
  problems: z.array(problemSchema),
  /** Why the actions could not be planned (hostd unreachable, for instance); null when they could. */
  plan_error: apiErrorSchema.nullable(),
});
export type ApplyResult = z.infer<typeof applyResultSchema>;

export const versionInfoSchema = z.object({
  agentd: z.object({
    version: z.string(),
    node_version: z.string(),
    /** Versions of the hostd protocol that this agentd speaks. */
    protocol_versions: z.array(z.int()),
  }),
  /** Null when hostd did not answer; `hostd_error` says why. */
  hostd: z
    .object({
      /** Null for a hostd that speaks version 1 only: that version has no way to ask. */
      version: z.string().nullable(),
      node_version: z.string().nullable(),
      /** The version negotiated with it. */
      protocol_version: z.int(),
      protocol_versions: z.array(z.int()),
    })
    .nullable(),
  hostd_error: apiErrorSchema.nullable(),
  /** Whether both sides speak the newest version that agentd knows. */
  compatible: z.boolean(),
});
export type VersionInfo = z.infer<typeof versionInfoSchema>;

export const pingResultSchema = z.object({
  agentd: z.literal('ok'),
  /** From agentd to hostd and back, in milliseconds. */
  hostd_round_trip_ms: z.number(),
  protocol_version: z.int(),
});
