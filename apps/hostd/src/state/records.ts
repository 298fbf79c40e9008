import { CodedError, type PoolNetworkPolicy } from '@mvm/protocol';
import {
  imageRefSchema,
  instanceNetSchema,
  instanceResourcesSchema,
  instanceStatusSchema,
  networkPolicySchema,
  poolNetworkPolicySchema,
  poolSpecSchema,
  quotasSchema,
  stopReasonSchema,
  tenantNetSchema,
} from '@mvm/protocol/schemas';
import { findNetworkPolicyProblems } from '@mvm/protocol/state';
import { z } from 'zod';
import { fromPeerInstance, fromPeerPool, fromPeerTenant } from './peer-records.js';
import { vmRecordSchema } from './vm-record-schema.js';

/*
 * The three state files as the version 1 peer writes them, plus fields of ours, which are optional. Unknown fields are
 * kept (loose), times stay the text that they were. Source: docs/state.md.
 */

const time = z.string();

/** A policy in a file is refused like one on the wire: what is not understood could not be enforced. */
function enforceable(policy: PoolNetworkPolicy, context: z.RefinementCtx): void {
  for (const { path, message } of findNetworkPolicyProblems(policy)) {
    context.addIssue({ code: 'custom', path: [...path], message });
  }
}

/** `tenant.json`. */
export const tenantRecordSchema = z.preprocess(
  fromPeerTenant,
  z.looseObject({
    tenant_id: z.string(),
    quotas: quotasSchema.loose(),
    net: tenantNetSchema.loose(),
    secrets_epoch: z.int().optional(),
    config_version: z.int().optional(),
    pinned: z.boolean().optional(),
    audit_retention_days: z.int().optional(),
    created_at: time,
    /** Ours: whether the bridge is wanted; absent in a tree that the peer wrote, where it is. */
    network_up: z.boolean().optional(),
    /** Ours: what its guests may do on the network; absent: as by default. */
    policy: networkPolicySchema.superRefine(enforceable).optional(),
    /** Ours: when the file of the tenant's secrets was last seen to change; `secrets_epoch` counts with it. */
    secrets_stamp: z.string().nullish(),
  }),
);
export type TenantRecord = z.infer<typeof tenantRecordSchema>;

/** `pool.json`. */
export const poolRecordSchema = z.preprocess(
  fromPeerPool,
  z.looseObject({
    ...poolSpecSchema.shape,
    instance_resources: poolSpecSchema.shape.instance_resources.loose(),
    network_policy: poolNetworkPolicySchema.superRefine(enforceable).optional(),
    pool_id: z.string(),
    tenant_id: z.string(),
    metadata_enabled: z.boolean().optional(),
    pinned: z.boolean().optional(),
    critical: z.boolean().optional(),
    /** Ours: what `artifacts/current` points to, and under which name it was found. */
    image: imageRefSchema.nullish(),
  }),
);
export type PoolRecord = z.infer<typeof poolRecordSchema>;

/** `instance.json`. */
export const instanceRecordSchema = z.preprocess(
  fromPeerInstance,
  z.looseObject({
    instance_id: z.string(),
    pool_id: z.string(),
    tenant_id: z.string(),
    status: instanceStatusSchema,
    net: instanceNetSchema.loose().nullish(),
    role: z.string(),
    revision_hash: z.string().nullish(),
    /** Pid of the VMM, whichever VMM it is; null when none runs. */
    firecracker_pid: z.int().nullish(),
    last_started_at: time.nullish(),
    last_stopped_at: time.nullish(),
    idle_metrics: z.unknown().optional(),
    healthy: z.boolean().nullish(),
    last_health_check_at: time.nullish(),
    manual_override_until: time.nullish(),
    config_version: z.int().nullish(),
    secrets_epoch: z.int().nullish(),
    entered_running_at: time.nullish(),
    entered_warm_at: time.nullish(),
    last_busy_at: time.nullish(),
    /** Ours: when the instance was created. */
    created_at: time.nullish(),
    /** Ours: size of the data volume as created, which later changes of the pool do not touch. */
    data_disk_mib: z.int().min(0).nullish(),
    /** Ours: whether the data volume is encrypted, decided before it is made and never again; absent: it is not. */
    data_disk_cipher: z.enum(['none', 'luks']).nullish(),
    /** Ours: what the VM was started with; null when none runs. */
    running_with: z.object({ image: imageRefSchema, resources: instanceResourcesSchema }).nullish(),
    /** Ours: why it does not run any more. */
    stop_reason: stopReasonSchema.nullish(),
    /** Ours: how often its VM ended without being asked to, and how the last time; absent: never. */
    exit_count: z.int().min(0).optional(),
    last_exit: stopReasonSchema.nullish(),
    /** Ours: how the wall clock was set when each time was written; absent for times of records that have none. */
    time_offsets: z.record(z.string(), z.object({ boot_id: z.string(), offset_ms: z.number() })).optional(),
    /** Ours: how to find the VM again; null when none runs. */
    vm: vmRecordSchema.nullish(),
  }),
);
export type InstanceRecord = z.infer<typeof instanceRecordSchema>;

/**
 * The record in a file's text. Throws `failed_precondition`, reason `state.damaged_record`, naming the file and the
 * first field that is wrong.
 */
export function parseRecord<T>(schema: z.ZodType<T>, path: string, text: string): T {
  const damaged = (problem: string): CodedError =>
    new CodedError({
      code: 'failed_precondition',
      reason: 'state.damaged_record',
      message: `${path} is damaged: ${problem}`,
      hint: 'Restore the file from a backup, or remove its directory, then restart hostd.',
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged('not JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw damaged(`${issue?.path.join('.') || 'the record'}: ${issue?.message ?? 'not valid'}`);
}

/** The text of a record: JSON with two spaces of indentation and a final newline. */
export function renderRecord(record: TenantRecord | PoolRecord | InstanceRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}
