import type { NetworkException, NetworkLimits, NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import { DEFAULT_LIMITS } from './base-tables/limits.js';

/** Limits with every field filled in. */
export type CompleteLimits = { readonly [K in keyof NetworkLimits]-?: number };

/** A policy with every field filled in: what one guest may do. */
export interface CompletePolicy {
  readonly egress: NonNullable<NetworkPolicy['egress']>;
  readonly allow: readonly NetworkException[];
  readonly deny: readonly NetworkException[];
  readonly isolate_instances: boolean;
  readonly limits: CompleteLimits;
}

/** What applies to a guest whose tenant and pool say nothing else. */
export const DEFAULT_POLICY: CompletePolicy = {
  egress: 'internet',
  allow: [],
  deny: [],
  isolate_instances: false,
  limits: {
    new_connections_per_second: DEFAULT_LIMITS.newPerSecond,
    new_connections_burst: DEFAULT_LIMITS.newBurst,
    connections: DEFAULT_LIMITS.connections,
    packets_per_second: 0,
    bandwidth_kbit: 0,
  },
};

function completeLimits(limits: NetworkLimits): CompleteLimits {
  const usual = DEFAULT_POLICY.limits;
  const rate = limits.new_connections_per_second ?? usual.new_connections_per_second;
  return {
    new_connections_per_second: rate,
    new_connections_burst: limits.new_connections_burst ?? Math.min(2 * rate, 65_535),
    connections: limits.connections ?? usual.connections,
    packets_per_second: limits.packets_per_second ?? usual.packets_per_second,
    bandwidth_kbit: limits.bandwidth_kbit ?? usual.bandwidth_kbit,
  };
}

function merge(tenant: NetworkPolicy, pool: PoolNetworkPolicy): CompletePolicy {
  const { egress, allow, deny, isolate_instances } = { ...tenant, ...pool };
  return {
    egress: egress ?? DEFAULT_POLICY.egress,
    allow: allow ?? [],
    deny: deny ?? [],
    isolate_instances: isolate_instances ?? false,
    limits: completeLimits({ ...tenant.limits, ...pool.limits }),
  };
}

const NOTHING: PoolNetworkPolicy = {};
const merged = new WeakMap<NetworkPolicy, WeakMap<PoolNetworkPolicy, CompletePolicy>>();

/**
 * What a guest may do: the pool's fields (and those of its limits) in place of the tenant's, and the defaults in place of
 * what both leave out. The same objects give the same object, so thousands of guests cost one merge.
 */
export function completePolicy(
  tenant: NetworkPolicy = NOTHING,
  pool: PoolNetworkPolicy = NOTHING,
): CompletePolicy {
  const known = merged.get(tenant) ?? new WeakMap<PoolNetworkPolicy, CompletePolicy>();
  const found = known.get(pool) ?? merge(tenant, pool);
  merged.set(tenant, known.set(pool, found));
  return found;
}
