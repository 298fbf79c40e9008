import type { PublishedPort } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { wakesOnConnect } from '../reconcile/idle-counts.js';
import type { ObservedTenant } from '../reconcile/types.js';

/** A published TCP port whose connections wake an instance. */
export interface ActivationTarget {
  readonly tenantId: string;
  readonly poolId: string;
  /** The one that the port leads to; null: any of the pool. */
  readonly instanceId: string | null;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** What is woken for a target: all ports of it share one wake. */
export function targetName({ tenantId, poolId, instanceId }: ActivationTarget): string {
  return instanceId === null ? `${tenantId}/${poolId}` : `${tenantId}/${poolId}/${instanceId}`;
}

const isSame = (a: PublishedPort, b: PublishedPort): boolean =>
  a.protocol === b.protocol &&
  a.host_port === b.host_port &&
  a.guest_port === b.guest_port &&
  a.instance_id === b.instance_id;

/**
 * The ports to listen on: those that the desired state publishes in pools that a connection wakes and that want an
 * instance to run, and that hostd publishes for the same pool already. hostd refuses to publish a port that the host
 * listens on, so agentd never comes first. Sorted by port; pure.
 */
export function activationTargets(
  desired: DesiredState,
  observed: readonly ObservedTenant[],
): ActivationTarget[] {
  const targets: ActivationTarget[] = [];
  for (const tenant of desired.tenants) {
    const known = observed.find(({ tenant_id }) => tenant_id === tenant.tenant_id);
    for (const pool of tenant.pools) {
      if (!wakesOnConnect(pool) || pool.desired_counts.running === 0) continue;
      const published = known?.pools.find(({ pool_id }) => pool_id === pool.pool_id)?.network_policy?.publish;
      for (const port of pool.network_policy?.publish ?? []) {
        if (port.protocol !== 'tcp' || !published?.some((other) => isSame(other, port))) continue;
        targets.push({
          tenantId: tenant.tenant_id,
          poolId: pool.pool_id,
          instanceId: port.instance_id ?? null,
          hostPort: port.host_port,
          guestPort: port.guest_port,
        });
      }
    }
  }
  return targets.sort((a, b) => a.hostPort - b.hostPort);
}
