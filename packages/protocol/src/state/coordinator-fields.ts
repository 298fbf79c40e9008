import { z } from 'zod';
import type { DesiredState } from './desired-state.js';

/*
 * Fields that the desired state of other mvm agents has, which a coordinator of many hosts writes. They are taken, kept
 * and shown; findNotHonoured names those that mvm does not act on. Source: crate mvm-core 0.13.0, agent.rs and pool.rs.
 */

const text = z.string().max(512);
const count = z.int().min(0);

/** Which requests a gateway pool's instances shall forward where. */
const routingTableSchema = z.strictObject({
  routes: z
    .array(
      z.strictObject({
        name: text.default(''),
        match_rule: z.strictObject({
          port: z.int().min(0).max(65_535).nullish(),
          path_prefix: text.nullish(),
          source_cidr: text.nullish(),
        }),
        target: z.strictObject({
          pool_id: text,
          instance_selector: z
            .union([z.enum(['any', 'least_connections']), z.strictObject({ by_ip: text })])
            .default('any'),
          target_port: z.int().min(0).max(65_535).nullish(),
        }),
      }),
    )
    .max(1000),
});

/** How instances shall be replaced when their image changes. */
const updateStrategySchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('rolling'),
    max_unavailable: count.default(1),
    max_surge: count.default(1),
    health_check_timeout_secs: count.default(60),
  }),
  z.strictObject({
    type: z.literal('canary'),
    canary_count: count.default(1),
    canary_duration_secs: count.default(300),
    success_threshold: z.number().default(0.95),
  }),
]);

/** The secrets of one integration; without keys all of the tenant's. */
const integrationScopeSchema = z.strictObject({
  integration: z.string().max(128),
  keys: z.array(z.string().max(128)).max(256),
});

/** `secret_scopes` as mvm has them, names or beginnings of names, or by integration. */
export const writtenScopesSchema = z
  .array(z.union([z.string().max(128), integrationScopeSchema]))
  .max(64)
  .default([]);
type WrittenScopes = z.output<typeof writtenScopesSchema>;

/** Of a state: a coordinator's counter, by which an older state that arrives later is recognised. */
export const stateFields = { sequence: count.optional() };
export const tenantFields = { preferred_regions: z.array(text).max(256).optional() };
export const poolFields = {
  routing_table: routingTableSchema.nullish(),
  default_update_strategy: updateStrategySchema.nullish(),
  registry_artifact: z.strictObject({ template_id: text, revision: text.nullish() }).nullish(),
};

/** Scopes as hostd takes them: every key of every integration once, `*` for an integration without keys. Pure. */
export function scopesForHostd(scopes: WrittenScopes): string[] {
  const names = scopes.flatMap((scope) => {
    if (typeof scope === 'string') return [scope];
    return scope.keys.length === 0 ? ['*'] : scope.keys;
  });
  return [...new Set(names)];
}

/** A field that mvm keeps and does not act on. */
export interface NotHonoured {
  readonly tenant_id: string;
  /** Null for a field of the tenant. */
  readonly pool_id: string | null;
  readonly field: string;
  /** A sentence: what mvm does instead. */
  readonly message: string;
}

/** The fields of a state that mvm keeps and does not act on, in the order of the document. Pure. */
export function findNotHonoured(state: DesiredState): NotHonoured[] {
  return state.tenants.flatMap(({ tenant_id, preferred_regions = [], pools }) => [
    ...(preferred_regions.length === 0
      ? []
      : [{ tenant_id, pool_id: null, field: 'preferred_regions', message: ONE_HOST }]),
    ...pools.flatMap((pool) => {
      const { routing_table, default_update_strategy, registry_artifact, secret_scopes } = pool;
      const fields: [string, boolean, string][] = [
        ['routing_table', (routing_table?.routes.length ?? 0) > 0, NO_ROUTING],
        [
          'secret_scopes.integration',
          secret_scopes.some((scope) => typeof scope !== 'string'),
          ONE_SECRETS_DIRECTORY,
        ],
        ['default_update_strategy', (default_update_strategy ?? null) !== null, NO_ROLLOUT],
        ['registry_artifact', (registry_artifact ?? null) !== null, NO_REGISTRY],
      ];
      return fields
        .filter(([, isGiven]) => isGiven)
        .map(([field, , message]) => ({ tenant_id, pool_id: pool.pool_id, field, message }));
    }),
  ]);
}

const ONE_HOST = 'preferred_regions is kept and not honoured: mvm runs this host only and places nothing';
const NO_ROUTING =
  'routing_table is kept and not honoured: mvm routes no requests; network_policy.publish leads a host port to a guest';
const ONE_SECRETS_DIRECTORY =
  'secret_scopes: the keys are honoured; that each integration has a directory of its own is not, all are in one';
const NO_ROLLOUT =
  'default_update_strategy is kept and not honoured: running instances keep their image until they restart; "mvm restart" replaces them one by one';
const NO_REGISTRY =
  'registry_artifact is kept and not honoured: the pool boots the registered image that flake_ref names (see "mvm image --help")';
