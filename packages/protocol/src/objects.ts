import { z } from 'zod';
import { guestProgramFields } from './guest-program.js';
import { poolNetworkPolicySchema } from './network-policy.js';

/** The states of an instance; which transition is legal is in `transitions.ts`. */
export const instanceStatusSchema = z.enum([
  'created',
  'ready',
  'running',
  'warm',
  'sleeping',
  'stopped',
  'destroyed',
]);
export type InstanceStatus = z.infer<typeof instanceStatusSchema>;

const count = z.int().min(0);

/** Upper bounds of what a tenant may use; every field is a count except `max_mem_mib` and `max_disk_gib`. */
export const quotasSchema = z.object({
  max_vcpus: count,
  max_mem_mib: count,
  max_running: count,
  max_warm: count,
  max_pools: count,
  max_instances_per_pool: count,
  max_disk_gib: count,
});
export type Quotas = z.infer<typeof quotasSchema>;

/** What one instance of a pool gets. `vcpus` 1…32, `mem_mib` 64…1048576 MiB, `data_disk_mib` 0 (none)…1048576. */
export const instanceResourcesSchema = z.object({
  vcpus: z.int().min(1).max(32),
  mem_mib: z.int().min(64).max(1_048_576),
  data_disk_mib: z.int().min(0).max(1_048_576),
});
export type InstanceResources = z.infer<typeof instanceResourcesSchema>;

/** At most 100 wanted instances per pool and state. */
export const desiredCountsSchema = z.object({
  running: count.max(100),
  warm: count.max(100),
  sleeping: count.max(100),
});
export type DesiredCounts = z.infer<typeof desiredCountsSchema>;

/** Run-time policy of a pool; all in seconds. */
export const runtimePolicySchema = z.object({
  min_running_seconds: count.default(60),
  min_warm_seconds: count.default(30),
  drain_timeout_seconds: count.default(30),
  graceful_shutdown_seconds: count.default(15),
});
export type RuntimePolicy = z.infer<typeof runtimePolicySchema>;

/** `gateway`, `worker`, `builder` or `capability-<name>`. */
export const roleSchema = z
  .string()
  .regex(/^(gateway|worker|builder|capability-[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?)$/);

/** What makes the instances of a pool alike. `flake_ref` is the name of a registered image, optionally `name@sha256:…`. */
export const poolSpecSchema = z.object({
  flake_ref: z.string().min(1).max(512),
  profile: z.string().max(128).default('minimal'),
  role: roleSchema.default('worker'),
  instance_resources: instanceResourcesSchema,
  desired_counts: desiredCountsSchema.default({ running: 0, warm: 0, sleeping: 0 }),
  runtime_policy: runtimePolicySchema.prefault({}),
  seccomp_policy: z.enum(['baseline', 'strict']).default('baseline'),
  snapshot_compression: z.enum(['none', 'lz4', 'zstd']).default('none'),
  secret_scopes: z.array(z.string().max(128)).max(64).default([]),
  /** Replaces the tenant's policy field by field for this pool's instances; absent: the tenant's. */
  network_policy: poolNetworkPolicySchema.optional(),
  ...guestProgramFields,
});
export type PoolSpec = z.infer<typeof poolSpecSchema>;
