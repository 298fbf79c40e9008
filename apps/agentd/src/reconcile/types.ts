import type { Hold, Problem } from '@mvm/agentd-api';
import type {
  ImageView,
  InstanceView,
  NetworkPolicy,
  PoolSpec,
  PoolView,
  Quotas,
  TenantNet,
  TenantView,
} from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { ActivityRecords, ActivitySample } from './activity.js';

/** A tenant as hostd lists it, with its pools. */
export type ObservedTenant = TenantView & { readonly pools: readonly PoolView[] };

/** What a decision was made of: the values that were seen, and the thresholds that they were compared with. */
export interface Rule {
  /** Specific and stable, e.g. `sleep_policy.idle`. */
  readonly name: string;
  readonly values: Readonly<Record<string, number | string | null>>;
  readonly thresholds: Readonly<Record<string, number | string | null>>;
}

/** What hostd said of its host, all at one time. Instances that are destroyed are left out. */
export interface ObservedHost {
  readonly tenants: readonly ObservedTenant[];
  readonly instances: readonly InstanceView[];
  readonly images: readonly ImageView[];
  /** `tenant/pool/instance` of those that were asked about (see readiness.ts) and whose guest's agent is there. */
  readonly connectedAgents: readonly string[];
  /** How busy instances are; null when no pool has a sleep policy, or hostd cannot tell. */
  readonly activity?: ActivitySample | null;
  /** The range that every tenant's subnet must be inside. */
  readonly clusterCidr: string;
}

/** The last failures of one action on one object; see failures.ts. Times are milliseconds since 1970. */
export interface FailureRecord {
  readonly count: number;
  readonly lastAtMs: number;
  /** No attempt before this. */
  readonly retryAtMs: number;
  readonly code: string;
  readonly reason: string;
  readonly message: string;
}

/** What people and the configuration ask for beside the desired state. */
export interface Overrides {
  readonly holds: readonly Hold[];
  /** `tenant` or `tenant/pool`: nothing of it is stopped, destroyed or removed. */
  readonly pinned: readonly string[];
  /** As pinned, and planned before everything else. */
  readonly critical: readonly string[];
}

/** Everything else that the planner may know; it reads no clock and no randomness. */
export interface PlanContext {
  readonly nowMs: number;
  /** By `failureKey`. */
  readonly failures: Readonly<Record<string, FailureRecord>>;
  /** After this time a guest whose agent is not there counts as booted. */
  readonly bootGraceMs: number;
  /** At most this many actions in one plan, 1 or more. */
  readonly maxActions: number;
  /** How busy instances have been, up to `monotonicMs` on the host's monotonic clock; absent: nothing is known. */
  readonly activity?: { readonly records: ActivityRecords; readonly monotonicMs: number };
}

/** The fields of each kind of action. A new kind does not compile before it has an executor and a request. */
export interface ActionFields {
  ensure_tenant: {
    tenant_id: string;
    net: TenantNet;
    quotas: Quotas;
    /** Absent: as by default. */
    policy?: NetworkPolicy;
  };
  ensure_pool: { tenant_id: string; pool_id: string; spec: PoolSpec };
  create: { tenant_id: string; pool_id: string };
  start: { tenant_id: string; pool_id: string; instance_id: string };
  wake: { tenant_id: string; pool_id: string; instance_id: string };
  resume: { tenant_id: string; pool_id: string; instance_id: string };
  warm: { tenant_id: string; pool_id: string; instance_id: string };
  sleep: { tenant_id: string; pool_id: string; instance_id: string; drain_timeout_seconds: number };
  stop: { tenant_id: string; pool_id: string; instance_id: string; graceful_shutdown_seconds: number };
  destroy: { tenant_id: string; pool_id: string; instance_id: string; wipe_volumes: boolean };
  remove_pool: { tenant_id: string; pool_id: string };
  remove_tenant: { tenant_id: string };
}
export type ActionKind = keyof ActionFields;
/** One thing to do, plain data, with the reason for people. */
export type Action<K extends ActionKind = ActionKind> = {
  [P in K]: {
    readonly kind: P;
    readonly reason: string;
    /** What it was decided by, where that is more than the counts. */
    readonly rule?: Rule;
  } & Readonly<ActionFields[P]>;
}[K];

/** Wanted and actual of one pool, as the plan saw them. */
export interface PoolPlan {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly wanted: { readonly running: number; readonly warm: number; readonly sleeping: number };
  /** Instances stopped, warmed or put to sleep by an operator that keep their slot, and those kept running in addition to the wanted ones. */
  readonly held: number;
}

export interface Plan {
  /** In the order in which they are to be started; see `PHASES`. */
  readonly actions: readonly Action[];
  /** What is in the way, and what is left alone on purpose. */
  readonly problems: readonly Problem[];
  readonly pools: readonly PoolPlan[];
}

export interface PlanInput {
  readonly desired: DesiredState;
  readonly observed: ObservedHost;
  readonly overrides: Overrides;
  readonly context: PlanContext;
}
