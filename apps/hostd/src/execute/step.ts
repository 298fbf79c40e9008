import type { TenantPolicies } from '@mvm/net-executor';
import type { GuestProgram, InstanceResources, StopReason, TenantNet } from '@mvm/protocol';
import type { CgroupLimits } from '../cgroup/limits.js';
import type { ImageName, LaunchArgs, PlannedImage } from '../state/launch.js';
import type { InstanceAddress, PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';

/** What a guest learns from its config drive. */
export interface GuestConfig {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
  readonly role: string;
  readonly hostname: string;
  readonly net: {
    readonly address: string;
    readonly gateway: string;
    readonly mac: string;
    readonly mtu: number;
  };
}

/** An instance's place on its tenant's bridge. */
export interface PortArgs {
  readonly tapName: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ownerUid: number;
  /** Whose network policy it has, and by which a published port names it. */
  readonly poolId?: string;
  readonly instanceId?: string;
}

/** What a snapshot is written with. */
export interface SnapshotArgs {
  readonly address: InstanceAddress;
  readonly vmId: string;
  readonly at: string;
  readonly compression: 'none' | 'lz4' | 'zstd';
  /** How the saved VM was launched, and is to be restored. */
  readonly launch: LaunchArgs;
}

/**
 * Every kind of step with its arguments: plain data, so that a step can be journaled, logged, compared and shown before
 * it runs. The step union and the executor table are both derived from this map; a kind without executor does not
 * compile. Each executor may be repeated, and each undo may follow an execution that never began.
 */
export interface StepArgs {
  'runtime.create': { readonly address: InstanceAddress; readonly vmId: string };
  'runtime.remove': { readonly vmId: string };
  'config_drive.build': {
    readonly address: InstanceAddress;
    readonly config: GuestConfig;
    /** What the pool wants the guest to run; absent: what its image says. */
    readonly program?: GuestProgram;
  };
  /** The secrets that the scopes allow, read when the step runs: no plan and no journal holds a value. */
  'secrets_drive.build': {
    readonly address: InstanceAddress;
    readonly vmId: string;
    readonly scopes: readonly string[];
  };
  'data_disk.ensure': { readonly address: InstanceAddress; readonly sizeMib: number };
  'cgroup.create': { readonly name: string; readonly limits: CgroupLimits };
  'cgroup.remove': { readonly name: string };
  /** `keepFlows`: connections of its address stand; the instance that sleeps, or wakes, keeps it. */
  'port.attach': { readonly net: TenantNet; readonly port: PortArgs; readonly keepFlows?: boolean };
  'port.detach': { readonly net: TenantNet; readonly port: PortArgs; readonly keepFlows?: boolean };
  'vm.launch': LaunchArgs;
  /** Record how to find the VM again, before a guest instruction runs. */
  'vm.record': { readonly address: InstanceAddress; readonly vmId: string };
  'vm.resume': { readonly vmId: string };
  'vm.pause': { readonly vmId: string };
  /** Launch with the state of the committed snapshot in place of a boot. */
  'vm.restore': LaunchArgs;
  /** Tell the guest's agent the time and that it runs again, and give it entropy. A guest without one goes on as well. */
  'guest.wake': { readonly address: InstanceAddress; readonly vmId: string };
  /** Stream the paused VM's state beside the last snapshot, make the disks durable, and describe both. */
  'snapshot.write': SnapshotArgs;
  /** The commit point of a sleep: the snapshot has its final name. */
  'snapshot.commit': { readonly address: InstanceAddress; readonly at: string };
  /** Everything that a wake relies on is as it was written: VMM, disks, checksums; of an image, that nobody has touched it. */
  'snapshot.verify': { readonly address: InstanceAddress };
  /** The commit point of a wake: the snapshot is never loaded again. */
  'snapshot.consume': { readonly address: InstanceAddress };
  /** The memory that the guest runs from already is the one that was written. */
  'snapshot.check': { readonly address: InstanceAddress };
  'snapshot.discard': { readonly address: InstanceAddress };
  'vm.kill': { readonly address: InstanceAddress; readonly vmId: string };
  /** The commit point of a start: once it is durable, the instance runs. */
  'instance.commit_running': {
    readonly address: InstanceAddress;
    readonly image: PlannedImage;
    readonly resources: InstanceResources;
    readonly at: string;
    /** Which of the tenant's secrets the guest has; absent when it has none. */
    readonly secretsEpoch?: number;
  };
  'instance.commit_sleeping': { readonly address: InstanceAddress; readonly at: string };
  'instance.commit_warm': { readonly address: InstanceAddress; readonly at: string };
  'instance.commit_resumed': { readonly address: InstanceAddress; readonly at: string };
  /** The commit point of a stop. */
  'instance.commit_stopped': {
    readonly address: InstanceAddress;
    readonly at: string;
    readonly reason: StopReason;
  };
  'volumes.wipe': { readonly address: InstanceAddress };
  /** The commit point of a destroy. */
  'instance.remove': { readonly address: InstanceAddress };
  'instance.create': { readonly record: InstanceRecord };
  /** The pool has an image now: an instance that was created before becomes ready. */
  'instance.prepare': { readonly address: InstanceAddress };
  'pool.save': { readonly record: PoolRecord; readonly before: PoolRecord | null };
  'pool.remove': { readonly pool: PoolAddress };
  /** The pool's own copy of the image is there and is what its next start boots. */
  'image.activate': { readonly pool: PoolAddress; readonly image: ImageName };
  'tenant.save': { readonly record: TenantRecord; readonly before: TenantRecord | null };
  'tenant.remove': { readonly tenantId: string };
  'network.ensure': {
    readonly net: TenantNet;
    readonly policies: TenantPolicies;
    /** Of the network that is up; null when it is not. */
    readonly before: TenantPolicies | null;
  };
  'network.remove': { readonly net: TenantNet; readonly policies: TenantPolicies };
}

export type StepKind = keyof StepArgs;

/** One step of a plan: `{kind, …arguments}`. */
export type Step = { [K in StepKind]: { readonly kind: K } & StepArgs[K] }[StepKind];

/** The operations on an instance, journaled. `reap` is hostd's own: cleaning up after a VM that ended by itself. */
export type OperationName = (typeof OPERATION_NAMES)[number];
export const OPERATION_NAMES = [
  'start',
  'stop',
  'destroy',
  'sleep',
  'wake',
  'warm',
  'resume',
  'reboot',
  'reap',
] as const;

/** The operations that need no journal: their record says what is wanted, and reconciling at the next start does it. */
export type RecordOperationName = (typeof RECORD_OPERATION_NAMES)[number];
export const RECORD_OPERATION_NAMES = [
  'create',
  'ensure_tenant',
  'setup_network',
  'teardown_network',
  'remove_tenant',
  'ensure_pool',
  'remove_pool',
  'prepare',
] as const;

/**
 * What an operation will do, in order. `onFailure` says what becomes of a plan that stopped midway, be it by an error
 * or by a crash: `undo` reverts every step in reverse order; `finish` repeats it from the beginning later; `commit`
 * is undone until its commit point has taken effect, and from then on the steps after that point are finished.
 */
export interface StepPlan {
  readonly operation: OperationName | RecordOperationName;
  readonly onFailure: 'undo' | 'finish' | 'commit';
  readonly steps: readonly Step[];
}

/** A plan for one instance, which is journaled before it runs. */
export interface Plan extends StepPlan {
  readonly operation: OperationName;
  readonly address: InstanceAddress;
}
