import type { PoolSpec, RequestOf } from '@mvm/protocol';
import { planPool, planPrepare, publishedPorts } from '../plan/plan-pool.js';
import type { ImageName } from '../state/launch.js';
import type { PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord } from '../state/records.js';
import { requirePool, requireTenant, type StateStore } from '../state/store.js';
import { parsePoolAddress } from './addresses.js';
import type { FollowUp, RecordOperation } from './operation.js';

export interface PoolRequest {
  readonly pool: PoolAddress;
  readonly spec: PoolSpec;
}

export function parseEnsurePool(request: RequestOf<'EnsurePool'>): PoolRequest {
  return { pool: parsePoolAddress(request), spec: request.spec };
}

/** An instance that was created before the pool had an image becomes ready. */
function makeReady({ tenant_id, pool_id, instance_id }: InstanceRecord, store: StateStore): FollowUp {
  const address = { tenant_id, pool_id, instance_id };
  return {
    address,
    plan: () => {
      const instance = store.instance(address);
      return instance?.status === 'created' ? planPrepare(instance) : null;
    },
  };
}

/** Records a pool and makes its image ready to be booted. Throws what `planPool` throws, and `tenant.not_found`. */
export const ensurePool: RecordOperation<PoolRequest, PoolRecord, ImageName | null> = {
  tenantOf: ({ pool }) => pool.tenant_id,
  prepare: ({ pool, spec }, { store, ports }) => {
    requireTenant(store, pool.tenant_id);
    return ports.images.resolve(spec.flake_ref);
  },
  plan: ({ pool, spec }, image, { store, reservations, hostFacts, publishPorts }) => {
    const tenant = requireTenant(store, pool.tenant_id);
    const pools = store.poolsOf(pool.tenant_id);
    const published = reservations.otherPublished(pool);
    const known = store.pool(pool);
    const host = { publishPorts, listening: hostFacts.listening() };
    const isCreated = ({ status }: InstanceRecord): boolean => status === 'created';
    return {
      plan: planPool({ tenant, pool, spec, known, pools, published, image, host }),
      reserve: () => reservations.reservePublished(pool, publishedPorts(spec)),
      followUps:
        image === null
          ? []
          : store
              .instancesOf(pool)
              .filter(isCreated)
              .map((instance) => makeReady(instance, store)),
      notes:
        image === null
          ? ['the image is not registered on this host: until it is, no instance of the pool can start']
          : [],
      result: () => requirePool(store, pool),
    };
  },
};
