import { networkDriftViewSchema, networkKindCountSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { apiErrorSchema } from './errors.js';
import { holdSchema, statusCountsSchema } from './objects.js';

const timestamp = z.string();

/** The kinds of action of agentd's planner. */
const actionKindSchema = z.enum([
  'ensure_tenant',
  'ensure_pool',
  'create',
  'start',
  'wake',
  'resume',
  'warm',
  'sleep',
  'stop',
  'destroy',
  'remove_pool',
  'remove_tenant',
]);

/** One thing that agentd is going to do, or would do, and why. */
export const actionViewSchema = z.object({
  kind: actionKindSchema,
  tenant_id: z.string(),
  /** Null for an action on a tenant. */
  pool_id: z.string().nullable(),
  /** Null for an action on a tenant or pool, and for `create`, where hostd chooses the id. */
  instance_id: z.string().nullable(),
  /** A sentence for people. */
  reason: z.string(),
});
export type ActionView = z.infer<typeof actionViewSchema>;

/**
 * Something that keeps a tenant, pool or instance from its desired state, or that agentd leaves alone on purpose.
 * `blocked`: an operator has to change something; `backoff`: tried, failed, tried again at `until`; `waiting`: an operation
 * is under way, a minimum time has not passed, a guest has not booted, or the pass was full. The others keep nothing
 * from being as desired: `hold`: stopped, warmed, put to sleep or made to run by
 * hand, left alone until `until`; `unmanaged`: on the
 * host but not in the desired state, and pruning was not asked for; `protected`: surplus, but pinned or critical;
 * `failed`: it sleeps and cannot be woken, so that others take its place, or its guest has ended by itself and the pool's
 * `restart` leaves it stopped; `completed`: its main process has ended as it should, and is not started again; `outdated`:
 * warm or asleep with another image than its pool's; `ignored`: the desired state has a field that mvm keeps and does not
 * act on.
 */
export const problemSchema = z.object({
  kind: z.enum([
    'blocked',
    'backoff',
    'waiting',
    'hold',
    'unmanaged',
    'protected',
    'failed',
    'completed',
    'outdated',
    'ignored',
  ]),
  /** Specific and stable, e.g. `image.not_found`. */
  reason: z.string(),
  /** A sentence for people, with what to do next where there is something to do. */
  message: z.string(),
  tenant_id: z.string(),
  pool_id: z.string().nullable(),
  instance_id: z.string().nullable(),
  /** When agentd looks at it again on its own; null when that needs a change. */
  until: timestamp.nullable(),
});
export type Problem = z.infer<typeof problemSchema>;

/** An action that was carried out, or that failed. */
export const decisionSchema = actionViewSchema.extend({
  at: timestamp,
  /** Number of the pass that decided it. */
  pass: z.int(),
  duration_ms: z.number(),
  error: apiErrorSchema.nullable(),
});
export type Decision = z.infer<typeof decisionSchema>;

/** Wanted and actual instances of one pool of the desired state. */
export const poolStatusSchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  wanted: z.object({ running: z.int(), warm: z.int(), sleeping: z.int() }),
  actual: statusCountsSchema,
  /** Instances stopped, warmed or put to sleep by an operator whose slot is kept, and those made to run in addition to the wanted ones. */
  held: z.int(),
  converged: z.boolean(),
});
export type PoolStatus = z.infer<typeof poolStatusSchema>;

/** The connection to hostd, asked when the status is. `version` is the negotiated protocol version; version 1 cannot list or create. */
export const hostdStatusSchema = z.object({
  state: z.enum(['connected', 'unreachable', 'protocol_mismatch', 'unknown']),
  socket: z.string(),
  version: z.int().nullable(),
  server: z.string().nullable(),
  /** Why the last exchange failed; null when it did not. */
  error: apiErrorSchema.nullable(),
});
export type HostdStatus = z.infer<typeof hostdStatusSchema>;

/** Where the desired state comes from. `revision` is the first 12 hex digits of a sha256 over its content. */
export const desiredStatusSchema = z.object({
  /** `file`: `--desired`, PUT is refused; `api`: PUT /v1/desired, kept in the state directory; `none`: none yet. */
  source: z.enum(['file', 'api', 'none']),
  /** The file, for source `file`. */
  path: z.string().nullable(),
  revision: z.string().nullable(),
  loaded_at: timestamp.nullable(),
  /** Why the present content of the source cannot be used; the revision shown is then the last good one. */
  error: apiErrorSchema.nullable(),
});
export type DesiredStatus = z.infer<typeof desiredStatusSchema>;

export const passSchema = z.object({
  number: z.int(),
  /** The revision that it planned for. */
  revision: z.string().nullable(),
  /** `event`: hostd said that something may have changed. */
  trigger: z.enum(['start', 'interval', 'desired', 'request', 'follow_up', 'retry', 'event']),
  started_at: timestamp,
  duration_ms: z.number(),
  actions: z.int(),
  failed: z.int(),
  /** Why the pass could not observe or finish; null when it could. */
  error: apiErrorSchema.nullable(),
});
export type Pass = z.infer<typeof passSchema>;

/** The last verification of the host's network by agentd, which verifies on its passes. */
export const networkStatusSchema = z.object({
  verified_at: timestamp,
  duration_ms: z.number(),
  /** How much was compared, by kind of object. */
  kinds: z.array(networkKindCountSchema),
  drift_count: z.int(),
  /** The first of them, at most 50, each with the time since when every verification has found it. */
  drifts: z.array(networkDriftViewSchema.extend({ since: timestamp })),
  /** How many of these hostd should have repaired by now: an operator must look. */
  persistent: z.int(),
  /** Why the last verification failed; the rest is then of the one before. Null when it did not. */
  error: apiErrorSchema.nullable(),
});
export type NetworkStatus = z.infer<typeof networkStatusSchema>;

export const statusSchema = z.object({
  node_id: z.string().nullable(),
  agentd: z.object({ version: z.string(), pid: z.int(), uid: z.int(), started_at: timestamp }),
  hostd: hostdStatusSchema,
  desired: desiredStatusSchema,
  /** The last pass that ended, whatever its outcome. */
  last_pass: passSchema.nullable(),
  /**
   * When `pools`, `pending` and `problems` were seen on the host; null before the first look. Older than a few seconds
   * beyond agentd's interval, or with a `hostd.state` other than `connected`, they are history.
   */
  observed_at: timestamp.nullable().default(null),
  /**
   * How many instances keep their pool from its counts because an operator holds them; with `converged` true and this
   * above 0 the host is as desired except for them.
   */
  held: z.int().default(0),
  /** True when the last pass looked at the host for the present revision, found nothing to do and no problem but holds. */
  converged: z.boolean(),
  /**
   * True when agentd can do nothing more for the present revision until an operator changes something; with `converged`
   * false, `problems` says what. A client that waits stops waiting when this is true.
   */
  settled: z.boolean(),
  pools: z.array(poolStatusSchema),
  /** What is left to do, as the last pass saw it. */
  pending: z.array(actionViewSchema),
  problems: z.array(problemSchema),
  holds: z.array(holdSchema),
  /** Null before the first verification, and with a hostd that cannot verify. */
  network: networkStatusSchema.nullable(),
  /** The last actions, newest first, at most 100. */
  recent: z.array(decisionSchema),
});
export type Status = z.infer<typeof statusSchema>;
