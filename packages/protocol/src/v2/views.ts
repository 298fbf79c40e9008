import { z } from 'zod';
import { networkPolicySchema } from '../network-policy.js';
import { instanceResourcesSchema, instanceStatusSchema, poolSpecSchema, quotasSchema } from '../objects.js';
import { tenantNetSchema } from '../tenant-net.js';

const timestamp = z.string();

/** A registered image: name and the sha256 of its manifest, `sha256:<64 hex>`. */
export const imageRefSchema = z.object({ name: z.string(), digest: z.string() });
export type ImageRef = z.infer<typeof imageRefSchema>;

/** How a guest's main process, or the guest itself, has ended, as the guest says on its console. */
export const guestExitSchema = z.object({
  /**
   * `exited`: the main process ended; `signaled`: a signal ended it; `oom_killed`: the guest's kernel ended it for want of
   * memory; `panicked`: the guest's kernel panicked; `unhealthy`: its health check failed, and the pool wants a stop then.
   */
  reason: z.enum(['exited', 'signaled', 'oom_killed', 'panicked', 'unhealthy']),
  /** Of the main process, 128 and the signal's number when a signal ended it; null of a panic. */
  exit_code: z.int().min(0).max(255).nullable(),
  /** Number of the signal that ended the main process. */
  signal: z.int().min(1).max(64).nullable(),
});
export type GuestExit = z.infer<typeof guestExitSchema>;

/** Why an instance is not running any more. */
export const stopReasonSchema = z.object({
  /**
   * `requested`: by a caller; `exited`: the VMM ended on its own; `start_failed`; `lost`: gone while hostd was down;
   * `wake_failed`: it sleeps on, because the last wake could not use its snapshot.
   */
  kind: z.enum(['requested', 'exited', 'start_failed', 'lost', 'wake_failed']),
  message: z.string(),
  exit_code: z.int().nullable(),
  signal: z.string().nullable(),
  /** The console's last lines, for a VM that ended on its own. */
  console_tail: z.string(),
  at: timestamp,
  /** How the guest has ended; absent when it did not say. `exit_code` and `signal` above are the VMM's. */
  guest: guestExitSchema.optional(),
});
export type StopReason = z.infer<typeof stopReasonSchema>;

export const instanceNetSchema = z.object({
  tap_dev: z.string(),
  mac: z.string(),
  guest_ip: z.string(),
  gateway_ip: z.string(),
  /** The tenant's subnet in CIDR form. */
  cidr: z.string(),
});
export type InstanceNet = z.infer<typeof instanceNetSchema>;

/** An instance as `ListInstances` shows it. Times are RFC 3339, UTC. */
export const instanceViewSchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  status: instanceStatusSchema,
  /** Since when it is in this state; null when that was never recorded. */
  status_since: timestamp.nullable(),
  role: z.string(),
  net: instanceNetSchema.nullable(),
  image: imageRefSchema.nullable(),
  resources: instanceResourcesSchema,
  pid: z.int().nullable(),
  created_at: timestamp.nullable(),
  last_started_at: timestamp.nullable(),
  last_stopped_at: timestamp.nullable(),
  stop_reason: stopReasonSchema.nullable(),
  /** How often its VM ended without being asked to; absent from a hostd that does not count. */
  exit_count: z.int().min(0).optional(),
  /** How that happened the last time, also after it was started again; in lists without the console's lines. */
  last_exit: stopReasonSchema.optional(),
  /** The operation under way, e.g. `start`; null when there is none. */
  operation: z.string().nullable(),
  /**
   * Of a VM that runs, by what its guest was first noticed since the VM was started or woken, or hostd found it again:
   * `console`, it wrote there; `network`, it sent a frame; `agent`, its agent answered. `none`: by nothing within a minute.
   * Absent while that is open, without a VM, and from a hostd that does not look.
   */
  sign_of_life: z.enum(['console', 'network', 'agent', 'none']).optional(),
});
export type InstanceView = z.infer<typeof instanceViewSchema>;

/** The kernel's view of a running VM's process, read at the time of the call. */
export const instanceRuntimeSchema = z.object({
  vmm: z.enum(['qemu', 'firecracker']),
  vmm_version: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  pid: z.int(),
  uid: z.int(),
  gid: z.int(),
  memory_max_bytes: z.number().nullable(),
  memory_current_bytes: z.number().nullable(),
  cpu_max_percent: z.number().nullable(),
  pids_max: z.number().nullable(),
  pids_current: z.number().nullable(),
});
export type InstanceRuntime = z.infer<typeof instanceRuntimeSchema>;

export const instanceDetailSchema = instanceViewSchema.extend({
  runtime: instanceRuntimeSchema.nullable(),
  /** Whether a program in the guest has the agent's port open, as it has once it is up; null when no guest runs, or its VMM does not answer. */
  agent_connected: z.boolean().nullable(),
  /** Number of the tenant's secrets that the guest was last given; absent when it never got any. */
  secrets_epoch: z.int().min(0).optional(),
  console_tail: z.string(),
});
export type InstanceDetail = z.infer<typeof instanceDetailSchema>;

export const poolViewSchema = poolSpecSchema.extend({
  tenant_id: z.string(),
  pool_id: z.string(),
  /** Null until the image that `flake_ref` names is registered on this host. */
  image: imageRefSchema.nullable(),
});
export type PoolView = z.infer<typeof poolViewSchema>;

export const tenantViewSchema = z.object({
  tenant_id: z.string(),
  net: tenantNetSchema,
  /** Whether the bridge is wanted on this host (between SetupNetwork and TeardownNetwork). */
  network_up: z.boolean(),
  quotas: quotasSchema,
  /** Absent: as by default. */
  policy: networkPolicySchema.optional(),
  /** Counts the changes of the tenant's secrets, as noticed at starts and wakes; absent: none yet. */
  secrets_epoch: z.int().min(0).optional(),
  created_at: timestamp,
});
export type TenantView = z.infer<typeof tenantViewSchema>;

export const imageViewSchema = imageRefSchema.extend({
  size_bytes: z.number(),
  created_at: timestamp,
  /** Empty, or why the image cannot be used (missing file, wrong digest). */
  problem: z.string(),
});
export type ImageView = z.infer<typeof imageViewSchema>;

export const hostInfoSchema = z.object({
  hostd_version: z.string(),
  protocol_versions: z.array(z.int()),
  node_version: z.string(),
  kernel: z.string(),
  pid: z.int(),
  started_at: timestamp,
  vmm: z.enum(['qemu', 'firecracker']),
  vmm_version: z.string().nullable(),
  accelerator: z.enum(['kvm', 'tcg']),
  /** Why this accelerator, in words. */
  accelerator_reason: z.string(),
  /** Whether a guest runs in Firecracker on this host, and how that is known or what is in the way; absent: an older hostd does not say. */
  firecracker: z.object({ usable: z.boolean(), reason: z.string() }).optional(),
  cgroup_version: z.union([z.literal(1), z.literal(2)]),
  cluster_cidr: z.string(),
  /** Interfaces through which guests leave the host, as of now; absent: an older hostd does not say. */
  uplinks: z.array(z.string()).optional(),
  /** The network namespace that hostd and tenants' networks are in, as the kernel names it: `net:[4026531840]`. */
  network_namespace: z.string().optional(),
  state_dir: z.string(),
  images: z.array(imageViewSchema),
  tenants: z.int(),
  pools: z.int(),
  instances: z.int(),
  running: z.int(),
});
export type HostInfo = z.infer<typeof hostInfoSchema>;

/** A piece of a log. Offsets count bytes since the instance was created and keep counting when old bytes are dropped. */
export const logChunkSchema = z.object({
  stream: z.enum(['console', 'vmm']),
  offset: z.number(),
  next_offset: z.number(),
  /** Raw bytes: a guest writes what it likes, so whoever prints them must strip control characters. */
  data_base64: z.string(),
  /** True when bytes before `offset` that were asked for are gone. */
  truncated: z.boolean(),
});
export type LogChunk = z.infer<typeof logChunkSchema>;

/** One step of a plan. */
export const planStepSchema = z.object({
  /** What the step is, `<area>.<verb>`, e.g. `port.attach`; new kinds may come. */
  kind: z.string(),
  /** What it acts on: an address `<tenant>/<pool>/<instance>`, a TAP, a bridge, a cgroup. */
  object: z.string(),
  /** A phrase for people. */
  what: z.string(),
  /** The step's own arguments, of which no form is promised; never a secret or a key. */
  args: z.record(z.string(), z.unknown()),
});
export type PlanStep = z.infer<typeof planStepSchema>;

/** What a request would do now, in order. Empty for a request that changes nothing. */
export const planSchema = z.object({
  /** Name of the operation, as in the audit log. */
  operation: z.string(),
  /**
   * What becomes of a plan that stops midway: `undo` reverts every step; `finish` repeats it until it is complete;
   * `commit` is the first until its commit point, the second after. Null when there are no steps.
   */
  on_failure: z.enum(['undo', 'finish', 'commit']).nullable(),
  steps: z.array(planStepSchema),
  /** What is not in the steps but matters: waiting for another operation, a drain, an id chosen later. */
  notes: z.array(z.string()),
});
export type PlanView = z.infer<typeof planSchema>;
