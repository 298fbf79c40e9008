import { z } from 'zod';

/** One difference between what the kernel has and what the records ask for. */
export const networkDriftViewSchema = z.object({
  /** `bridge`, `tap`, `address`, `element`, `table`, `rule`, `sysctl`, … */
  object: z.string().max(32),
  /** Which one, e.g. `tn3i5`, `port_mac tn3i5 . 02:fc:00:03:00:05`. */
  name: z.string().max(256),
  /** `missing`: wanted and not there; `unwanted`: there and not wanted; `different`: there, but not as wanted. */
  state: z.enum(['missing', 'unwanted', 'different']),
  /** For people: what is there and what should be. */
  detail: z.string().max(512),
});
export type NetworkDriftView = z.infer<typeof networkDriftViewSchema>;

/** How much of one kind of object was compared, and how much of it differs. */
export const networkKindCountSchema = z.object({
  object: z.string().max(32),
  /** Objects that the records ask for. */
  checked: z.int().min(0),
  drifts: z.int().min(0),
});
export type NetworkKindCount = z.infer<typeof networkKindCountSchema>;

/** One packet that was tried from a guest's place, and what became of it. */
export const networkProbeSchema = z.object({
  /** Stable, for scripts, e.g. `other-tenant-routed`. */
  name: z.string().max(64),
  /** `control`: must get through, or the others prove nothing; `blocked`: must not. */
  expects: z.enum(['control', 'blocked']),
  /** `skipped`: could not be tried here; `detail` says why. */
  outcome: z.enum(['as_wanted', 'not_as_wanted', 'skipped']),
  /** For people: what was sent, what came of it. */
  detail: z.string().max(512),
  /** The drop counter that must have counted it, e.g. `c_xtenant`; null for a control. */
  counter: z.string().max(64).nullable(),
});
export type NetworkProbe = z.infer<typeof networkProbeSchema>;

/** The kernel compared with the records, object by object. */
export const networkReportSchema = z.object({
  /** Null: the whole host. */
  tenant_id: z.string().nullable(),
  kinds: z.array(networkKindCountSchema),
  /** The first of them, at most 500; `drift_count` says how many there are. Empty: the kernel is as it should be. */
  drifts: z.array(networkDriftViewSchema),
  drift_count: z.int().min(0),
  /** Null unless `deep` was asked for. */
  probes: z.array(networkProbeSchema).nullable(),
  duration_ms: z.number(),
});
export type NetworkReport = z.infer<typeof networkReportSchema>;

/** One call of a program and the text on its stdin (`conntrack` reads none); `sysctl`: lines of `key=value` that hostd writes itself. */
export const networkCommandSchema = z.object({
  program: z.enum(['ip', 'nft', 'bridge', 'conntrack', 'sysctl']),
  args: z.array(z.string()),
  script: z.string(),
});
export type NetworkCommand = z.infer<typeof networkCommandSchema>;

/** What would be run, in order; nothing when the kernel is in line. */
export const networkPlanSchema = z.object({
  tenant_id: z.string().nullable(),
  from_scratch: z.boolean(),
  steps: z.int().min(0),
  commands: z.array(networkCommandSchema),
  /** True when the scripts were cut to fit into an answer. */
  truncated: z.boolean(),
});
export type NetworkPlan = z.infer<typeof networkPlanSchema>;

/** A named drop counter. Counts restart at 0 when the tables are loaded whole. */
export const dropCounterViewSchema = z.object({
  name: z.string().max(64),
  /** `bridge mvm` or `inet mvm`. */
  table: z.string().max(32),
  /** What the packets were, in words. */
  meaning: z.string(),
  /** What to look at when a guest's packets end here. */
  advice: z.string(),
  packets: z.number(),
  bytes: z.number(),
});
export type DropCounterView = z.infer<typeof dropCounterViewSchema>;

/** All drop counters, in the order in which a packet meets them. */
export const networkDropsSchema = z.object({
  /** RFC 3339, UTC. */
  at: z.string(),
  counters: z.array(dropCounterViewSchema),
});
export type NetworkDrops = z.infer<typeof networkDropsSchema>;
