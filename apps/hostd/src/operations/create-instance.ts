import type { RequestOf } from '@mvm/protocol';
import { generateInstanceId, parseInstanceId } from '@mvm/protocol/names';
import { planCreate } from '../plan/plan-create.js';
import type { PoolAddress } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { requireInstance, requirePool, requireTenant } from '../state/store.js';
import { parsePoolAddress } from './addresses.js';
import type { OperationDeps, RecordOperation } from './operation.js';

export interface CreateRequest {
  readonly pool: PoolAddress;
  /** Null: hostd chooses one. */
  readonly id: string | null;
}

export function parseCreate(request: RequestOf<'CreateInstance'>): CreateRequest {
  const pool = parsePoolAddress(request);
  return { pool, id: request.instance_id == null ? null : parseInstanceId(request.instance_id) };
}

function unusedId(pool: PoolAddress, { store, randomBytes }: OperationDeps): string {
  for (;;) {
    const instance_id = generateInstanceId(randomBytes(4));
    if (store.instance({ ...pool, instance_id }) === undefined) return instance_id;
  }
}

/** Records a new instance. Throws what `planCreate` throws, and `not_found`. */
export const createInstance: RecordOperation<CreateRequest, InstanceRecord> = {
  tenantOf: ({ pool }) => pool.tenant_id,
  plan: ({ pool, id }, _prepared, deps) => {
    const { store, clock } = deps;
    const instanceId = id ?? unusedId(pool, deps);
    const dataDiskMibOf = (instance: InstanceRecord): number =>
      instance.data_disk_mib ?? store.pool(instance)?.instance_resources.data_disk_mib ?? 0;
    const plan = planCreate(
      {
        tenant: requireTenant(store, pool.tenant_id),
        pool: requirePool(store, pool),
        instanceId,
        instances: store.instancesOfTenant(pool.tenant_id),
        dataDiskMibOf,
      },
      { now: clock.now() },
    );
    return {
      plan,
      notes: id === null ? ['the id is chosen when it is created: this is one of many'] : [],
      result: () => requireInstance(store, { ...pool, instance_id: instanceId }),
    };
  },
};
