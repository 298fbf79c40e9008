import {
  auditEntryViewSchema,
  auditReportViewSchema,
  desiredStateSchema,
  hostInfoSchema,
  instanceViewSchema,
  isValidId,
  logChunkSchema,
  networkDropsSchema,
  networkPlanSchema,
  networkReportSchema,
  parseInstanceId,
  parsePoolId,
  parseTenantId,
} from '@mvm/protocol';
import { z } from 'zod';
import { apiErrorSchema } from './errors.js';
import {
  instanceInfoSchema,
  operationResultSchema,
  poolSummarySchema,
  tenantSummarySchema,
} from './objects.js';
import { actionViewSchema, desiredStatusSchema, problemSchema, statusSchema } from './status.js';

/** One route: everything that the server, the typed client and the OpenAPI document need to know of it. */
export interface RouteDefinition {
  readonly method: 'GET' | 'PUT' | 'POST';
  /** With `:name` for each key of `params`. */
  readonly path: string;
  readonly summary: string;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  /** Null when the route takes no body. */
  readonly body: z.ZodType | null;
  readonly response: z.ZodType;
  /** `json`: `response` is a JSON body; `text`: it is the body's text. */
  readonly format: 'json' | 'text';
}

function id(parse: (text: string) => string, description: string) {
  return z
    .string()
    .refine(isValidId, { error: (issue) => messageOf(parse, String(issue.input)) })
    .meta({ description, pattern: '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$' });
}

function messageOf(parse: (text: string) => string, text: string): string {
  try {
    return `${parse(text)} is not valid`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const tenant = id(parseTenantId, 'Tenant id.');
const pool = id(parsePoolId, 'Pool id.');
const instance = id(parseInstanceId, 'Instance id.');
const none = z.strictObject({});
const ofTenant = z.strictObject({ tenant });
const ofPool = z.strictObject({ tenant, pool });
const ofInstance = z.strictObject({ tenant, pool, instance });

// Query values arrive as text and are given as values, so both are accepted.
const flag = z.union([
  z.boolean(),
  z.stringbool({ truthy: ['true', '1'], falsy: ['false', '0'], case: 'sensitive' }),
]);
const wholeNumber = (schema: z.ZodInt) => z.coerce.number<number | string>().pipe(schema);
const dryRun = {
  dry_run: flag.default(false).meta({
    description:
      'Change nothing, and answer with the steps that would be taken. What would be refused is refused with the same error.',
  }),
};
const operating = z.strictObject(dryRun);
const holding = z.strictObject({
  ...dryRun,
  /** How long the slot is held, 0…86 400 seconds. */
  hold_seconds: wholeNumber(z.int().min(0).max(86_400)).default(900),
});

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
export type PingResult = z.infer<typeof pingResultSchema>;

/** Every route of agentd's API except the OpenAPI document itself, `GET /openapi.json`. */
export const routes = {
  getVersion: {
    method: 'GET',
    path: '/v1/version',
    summary: "Versions of agentd and hostd, and whether they match. Answers even when hostd doesn't.",
    params: none,
    query: none,
    body: null,
    response: versionInfoSchema,
    format: 'json',
  },
  ping: {
    method: 'GET',
    path: '/v1/ping',
    summary: 'A round trip to hostd. 503 when hostd cannot be reached.',
    params: none,
    query: none,
    body: null,
    response: pingResultSchema,
    format: 'json',
  },
  getHost: {
    method: 'GET',
    path: '/v1/host',
    summary: 'What hostd says of itself and its host: VMM, accelerator, images, counts.',
    params: none,
    query: none,
    body: null,
    response: hostInfoSchema,
    format: 'json',
  },
  getStatus: {
    method: 'GET',
    path: '/v1/status',
    summary:
      'Desired against actual: what is converged, what is pending, what is in the way, what was done lately.',
    params: none,
    query: none,
    body: null,
    response: statusSchema,
    format: 'json',
  },
  getDesired: {
    method: 'GET',
    path: '/v1/desired',
    summary: 'The desired state in force, null when there is none.',
    params: none,
    query: none,
    body: null,
    response: desiredStatusSchema.extend({ desired: desiredStateSchema.nullable() }),
    format: 'json',
  },
  putDesired: {
    method: 'PUT',
    path: '/v1/desired',
    summary:
      'Replace the desired state, or with `dry_run` only answer what that would do. 409 when it comes from a file.',
    params: none,
    query: operating,
    body: desiredStateSchema,
    response: applyResultSchema,
    format: 'json',
  },
  reconcile: {
    method: 'POST',
    path: '/v1/reconcile',
    summary: 'Reconcile now; answers when the pass has ended.',
    params: none,
    query: none,
    body: null,
    response: statusSchema,
    format: 'json',
  },
  listTenants: {
    method: 'GET',
    path: '/v1/tenants',
    summary: 'All tenants that hostd records, with their pools, sorted by id.',
    params: none,
    query: none,
    body: null,
    response: z.object({ tenants: z.array(tenantSummarySchema) }),
    format: 'json',
  },
  getTenant: {
    method: 'GET',
    path: '/v1/tenants/:tenant',
    summary: 'One tenant with its pools.',
    params: ofTenant,
    query: none,
    body: null,
    response: tenantSummarySchema,
    format: 'json',
  },
  listPools: {
    method: 'GET',
    path: '/v1/pools',
    summary: 'All pools, or those of one tenant, sorted by tenant and pool.',
    params: none,
    query: z.strictObject({ tenant: tenant.optional() }),
    body: null,
    response: z.object({ pools: z.array(poolSummarySchema) }),
    format: 'json',
  },
  getPool: {
    method: 'GET',
    path: '/v1/tenants/:tenant/pools/:pool',
    summary: 'One pool.',
    params: ofPool,
    query: none,
    body: null,
    response: poolSummarySchema,
    format: 'json',
  },
  listInstances: {
    method: 'GET',
    path: '/v1/instances',
    summary: 'All instances, or those of one tenant or pool, sorted by tenant, pool and instance.',
    params: none,
    query: z
      .strictObject({ tenant: tenant.optional(), pool: pool.optional() })
      .refine((query) => query.pool === undefined || query.tenant !== undefined, {
        error: 'pool needs tenant beside it',
        path: ['pool'],
      }),
    body: null,
    response: z.object({ instances: z.array(instanceViewSchema) }),
    format: 'json',
  },
  getInstance: {
    method: 'GET',
    path: '/v1/instances/:tenant/:pool/:instance',
    summary: 'One instance with its process, its last console lines and what agentd holds back for it.',
    params: ofInstance,
    query: none,
    body: null,
    response: instanceInfoSchema,
    format: 'json',
  },
  startInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/start',
    summary: 'Start an instance, and lift its hold.',
    params: ofInstance,
    query: operating,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  stopInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/stop',
    summary: 'Stop an instance and hold its slot: agentd neither starts nor replaces it until the hold ends.',
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  sleepInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/sleep',
    summary:
      'Drain an instance, keep its memory on disk and end its VM; its slot is held as after a stop by hand.',
    params: ofInstance,
    query: holding,
    body: z.strictObject({
      /** Do not let the guest drain first. */
      force: z.boolean().default(false),
      /** How long the guest may drain, 0…86 400 seconds; null or absent: the pool's. */
      drain_timeout_secs: z.int().min(0).max(86_400).nullish(),
    }),
    response: operationResultSchema,
    format: 'json',
  },
  wakeInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/wake',
    summary: 'Let a sleeping instance run on where it was put to sleep, and lift its hold.',
    params: ofInstance,
    query: operating,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  warmInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/warm',
    summary: "Stop an instance's vCPUs and keep its memory; its slot is held as after a stop by hand.",
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  resumeInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/resume',
    summary: 'Let a warm instance run on, and lift its hold.',
    params: ofInstance,
    query: operating,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  destroyInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/destroy',
    summary:
      'Destroy an instance; with `wipe_volumes` its data is overwritten first. The pool may create another.',
    params: ofInstance,
    query: z.strictObject({ ...dryRun, wipe_volumes: flag.default(false) }),
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  getInstanceLogs: {
    method: 'GET',
    path: '/v1/instances/:tenant/:pool/:instance/logs',
    summary: 'Bytes of a log from `offset`, or its last `max_bytes` when there is no offset.',
    params: ofInstance,
    query: z.strictObject({
      stream: z.enum(['console', 'vmm']).default('console'),
      offset: wholeNumber(z.int().min(0)).optional(),
      /** 1…262 144. */
      max_bytes: wholeNumber(z.int().min(1).max(262_144)).default(262_144),
    }),
    body: null,
    response: logChunkSchema,
    format: 'json',
  },
  verifyNetwork: {
    method: 'GET',
    path: '/v1/network/verify',
    summary:
      'The kernel compared with the recorded network, of the host or of one tenant; with `deep`, which needs a tenant, packets from a guest’s place are tried too.',
    params: none,
    query: z
      .strictObject({ tenant: tenant.optional(), deep: flag.default(false) })
      .refine((query) => !query.deep || query.tenant !== undefined, {
        error: 'deep needs tenant beside it',
        path: ['deep'],
      }),
    body: null,
    response: networkReportSchema,
    format: 'json',
  },
  planNetwork: {
    method: 'GET',
    path: '/v1/network/plan',
    summary:
      'The exact text for ip and nft that would bring the network in line, or with `from_scratch` make it anew.',
    params: none,
    query: z.strictObject({ tenant: tenant.optional(), from_scratch: flag.default(false) }),
    body: null,
    response: networkPlanSchema,
    format: 'json',
  },
  getNetworkDrops: {
    method: 'GET',
    path: '/v1/network/drops',
    summary: 'Why guests’ packets were dropped, and how many: every named counter.',
    params: none,
    query: none,
    body: null,
    response: networkDropsSchema,
    format: 'json',
  },
  getAuditLog: {
    method: 'GET',
    path: '/v1/tenants/:tenant/audit',
    summary:
      "A page of a tenant's audit log, oldest entry first, from `since` (RFC 3339) on; a removed tenant's too.",
    params: ofTenant,
    query: z.strictObject({
      since: z.string().max(64).optional(),
      /** The `next_cursor` of the page before. */
      cursor: z.string().max(512).optional(),
      limit: wholeNumber(z.int().min(1).max(500)).default(500),
    }),
    body: null,
    response: z.object({ entries: z.array(auditEntryViewSchema), next_cursor: z.string().nullable() }),
    format: 'json',
  },
  verifyAudit: {
    method: 'GET',
    path: '/v1/audit/reports',
    summary: "Goes through one tenant's audit log, or through all of them, and names what is wrong in them.",
    params: none,
    query: z.strictObject({ tenant: tenant.optional() }),
    body: null,
    response: z.object({ reports: z.array(auditReportViewSchema) }),
    format: 'json',
  },
  getMetrics: {
    method: 'GET',
    path: '/metrics',
    summary: "Metrics in Prometheus' text format.",
    params: none,
    query: none,
    body: null,
    response: z.string(),
    format: 'text',
  },
} as const satisfies Record<string, RouteDefinition>;

export type RouteName = keyof typeof routes;
/** The decoded response of a route. */
export type RouteResponse<N extends RouteName> = z.output<(typeof routes)[N]['response']>;
