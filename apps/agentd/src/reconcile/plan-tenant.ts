import { isDeepStrictEqual } from 'node:util';
import { type ImageView, isCodedError, type PoolSpec, type PoolView, type TenantNet } from '@mvm/protocol';
import { checkTenantNet, deriveTenantNet } from '@mvm/protocol/names';
import { poolSpecSchema } from '@mvm/protocol/schemas';
import { type DesiredPool, type DesiredTenant, scopesForHostd } from '@mvm/protocol/state';
import { imageOf, shortDigest } from './inventory.js';
import type { PlanDraft } from './plan-draft.js';
import { planPool } from './plan-pool.js';
import { QuotaReservations } from './quota-reservations.js';
import type { ObservedHost, ObservedTenant, Overrides } from './types.js';

/** Lower comes first. */
export const URGENCY = { critical: 0, normal: 1 } as const;

/** Whether a tenant's pool, or the tenant as a whole, is listed as `critical` or else `pinned`; null when neither. */
export function protectionOf(
  overrides: Overrides,
  tenantId: string,
  poolId?: string,
): 'pinned' | 'critical' | null {
  const listed = (names: readonly string[]): boolean =>
    names.includes(tenantId) || (poolId !== undefined && names.includes(`${tenantId}/${poolId}`));
  if (listed(overrides.critical)) return 'critical';
  return listed(overrides.pinned) ? 'pinned' : null;
}

/** Bring one desired tenant, its pools and their instances to what is wanted of them. */
export function planTenant(
  draft: PlanDraft,
  desired: DesiredTenant,
  observed: ObservedHost,
  overrides: Overrides,
): void {
  const before = observed.tenants.find((tenant) => tenant.tenant_id === desired.tenant_id);
  const net = usableNet(draft, desired, observed.clusterCidr);
  if (net === null || !ensureTenant(draft, desired, net, before, overrides)) return;

  const instances = observed.instances.filter((view) => view.tenant_id === desired.tenant_id);
  const reservations = new QuotaReservations(desired.quotas, instances);
  let pools = before?.pools.length ?? 0;
  for (const pool of desired.pools) {
    const protection = protectionOf(overrides, desired.tenant_id, pool.pool_id);
    const urgency = protection === 'critical' ? URGENCY.critical : URGENCY.normal;
    const known = before?.pools.some((entry) => entry.pool_id === pool.pool_id) ?? false;
    if (!known) pools += 1;
    if (!known && pools > desired.quotas.max_pools) {
      const limit = `the tenant's quota max_pools is ${desired.quotas.max_pools}`;
      const subject = { tenant_id: desired.tenant_id, pool_id: pool.pool_id };
      draft.report('blocked', subject, {
        reason: 'quota.max_pools',
        message: `${limit}, and this pool would be one more`,
      });
      draft.pools.push({ ...subject, wanted: { ...pool.desired_counts }, held: 0 });
      continue;
    }
    if (!ensurePool(draft, desired.tenant_id, pool, { before, images: observed.images, urgency })) {
      draft.pools.push({
        tenant_id: desired.tenant_id,
        pool_id: pool.pool_id,
        wanted: { ...pool.desired_counts },
        held: 0,
      });
      continue;
    }
    planPool(draft, {
      tenantId: desired.tenant_id,
      pool,
      instances: instances.filter((view) => view.pool_id === pool.pool_id),
      images: observed.images,
      connectedAgents: observed.connectedAgents,
      holds: overrides.holds.filter((hold) => hold.tenant_id === desired.tenant_id),
      reservations,
      protection,
      urgency,
    });
  }
}

/** The tenant's network, or null, with a problem, when this host refuses it. */
function usableNet(draft: PlanDraft, desired: DesiredTenant, clusterCidr: string): TenantNet | null {
  try {
    const net = deriveTenantNet(desired.network.tenant_net_id, desired.network.ipv4_subnet);
    checkTenantNet(net, clusterCidr);
    return net;
  } catch (error) {
    if (!isCodedError(error)) throw error;
    draft.report('blocked', desired, { reason: error.reason, message: error.message });
    return null;
  }
}

/** False when the tenant is not there and cannot be made now. */
function ensureTenant(
  draft: PlanDraft,
  desired: DesiredTenant,
  net: TenantNet,
  before: ObservedTenant | undefined,
  overrides: Overrides,
): boolean {
  const why = tenantDifference(desired, net, before);
  if (why === null) return true;
  const {
    tenant_id,
    quotas,
    network: { policy },
  } = desired;
  const urgency = protectionOf(overrides, tenant_id) === 'critical' ? URGENCY.critical : URGENCY.normal;
  const action = {
    kind: 'ensure_tenant',
    tenant_id,
    net,
    quotas,
    ...(policy === undefined ? {} : { policy }),
    reason: why,
  } as const;
  const proposed = draft.propose(action, { urgency });
  return proposed || before !== undefined;
}

function tenantDifference(
  desired: DesiredTenant,
  net: TenantNet,
  before: ObservedTenant | undefined,
): string | null {
  if (before === undefined) return 'the tenant is wanted and not on the host';
  if (!isDeepStrictEqual(net, { ...before.net })) return "the tenant's network differs from what is wanted";
  if (!isDeepStrictEqual({ ...desired.quotas }, { ...before.quotas }))
    return "the tenant's quotas differ from what is wanted";
  if (!isDeepStrictEqual(desired.network.policy, before.policy))
    return "the tenant's network policy differs from what is wanted";
  return before.network_up ? null : "the tenant's network is down";
}

/** False when the pool is not there and cannot be made now. */
function ensurePool(
  draft: PlanDraft,
  tenantId: string,
  pool: DesiredPool,
  seen: {
    readonly before: ObservedTenant | undefined;
    readonly images: ObservedHost['images'];
    readonly urgency: number;
  },
): boolean {
  const { before, images, urgency } = seen;
  const known = before?.pools.find((entry) => entry.pool_id === pool.pool_id);
  const spec = poolSpecSchema.parse({ ...pool, secret_scopes: scopesForHostd(pool.secret_scopes) });
  const reason = poolDifference(spec, known, imageOf({ pool, images }));
  if (reason === null) return true;
  const action = { kind: 'ensure_pool', tenant_id: tenantId, pool_id: pool.pool_id, spec, reason } as const;
  return draft.propose(action, { urgency }) || known !== undefined;
}

/** hostd resolves a pool's image when the pool is ensured, and boots that one until it is ensured again. */
function poolDifference(
  spec: PoolSpec,
  known: PoolView | undefined,
  image: ImageView | undefined,
): string | null {
  if (known === undefined) return 'the pool is wanted and not on the host';
  if (!isDeepStrictEqual(spec, poolSpecSchema.parse(known))) return 'the pool differs from what is wanted';
  if (image === undefined || image.problem !== '' || image.digest === known.image?.digest) return null;
  const before = known.image === null ? 'none' : shortDigest(known.image.digest);
  return `the image ${spec.flake_ref} is ${shortDigest(image.digest)} now, and the pool boots ${before}`;
}
