import { CodedError, type InstanceView, isCodedError } from '@mvm/protocol';
import type { PeerCredentials } from '@mvm/unix-peer';
import { listInstances } from '../reconcile/observe.js';
import { protectionOf } from '../reconcile/plan-tenant.js';
import type { ApiContext, HandlerInput } from './handler-types.js';

/** A pass that was under way may have made another instance meanwhile. */
const MAX_TRIALS = 5;

/**
 * Takes a pool off the host that the desired state does not name: its instances, then the pool. Other pools that it does not
 * name stay. Throws `pool.desired`, `pool.protected`, and what hostd answers.
 */
export async function removePool(
  { client, desired, overrides, actionTimeoutMs, reconciler }: ApiContext,
  { params, query }: Pick<HandlerInput<'removePool'>, 'params' | 'query'>,
  caller: PeerCredentials,
): Promise<{ tenant_id: string; pool_id: string; destroyed: number }> {
  const pool = { tenant_id: params.tenant, pool_id: params.pool };
  const name = `${pool.tenant_id}/${pool.pool_id}`;
  const options = { timeoutMs: actionTimeoutMs, origin: { uid: caller.uid, cause: 'api' } };
  refuseDesired(desired, pool, name);
  refuseProtected(overrides, pool, name);
  let destroyed = 0;
  for (let trial = 1; ; trial += 1) {
    const instances: readonly InstanceView[] = await listInstances(client, pool);
    for (const { instance_id } of instances) {
      const request = {
        type: 'DestroyInstance',
        ...pool,
        instance_id,
        wipe_volumes: query.wipe_volumes,
      } as const;
      await client.request(request, options);
      destroyed += 1;
    }
    try {
      await client.request({ type: 'RemovePool', ...pool }, options);
    } catch (error) {
      if (isCodedError(error) && error.reason === 'pool.has_instances' && trial < MAX_TRIALS) continue;
      if (!isCodedError(error) || error.code !== 'not_found') throw error;
    }
    reconciler.enqueue('request');
    return { ...pool, destroyed };
  }
}

type Pool = { readonly tenant_id: string; readonly pool_id: string };

function refuseDesired({ loaded }: ApiContext['desired'], { tenant_id, pool_id }: Pool, name: string): void {
  const tenant = loaded?.desired.tenants.find((entry) => entry.tenant_id === tenant_id);
  if (tenant?.pools.some((entry) => entry.pool_id === pool_id) !== true) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'pool.desired',
    message: `pool ${name} is in the desired state`,
    hint: 'Take it out of the desired state first: mvm get, then mvm apply.',
  });
}

function refuseProtected(
  overrides: ApiContext['overrides'],
  { tenant_id, pool_id }: Pool,
  name: string,
): void {
  const protection = protectionOf({ holds: [], ...overrides }, tenant_id, pool_id);
  if (protection === null) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'pool.protected',
    message: `pool ${name} is ${protection}: it is not removed`,
    hint: `Take it out of ${protection} in the settings of mvm-agentd.`,
  });
}
