import { CodedError, isCodedError } from '@mvm/protocol';
import type { PeerCredentials } from '@mvm/unix-peer';
import { listTenants } from '../reconcile/observe.js';
import { protectionOf } from '../reconcile/plan-tenant.js';
import type { ApiContext, HandlerInput } from './handler-types.js';
import { removePool } from './remove-pool.js';

/**
 * Takes a tenant off the host that the desired state does not name: its pools with their instances, then the tenant with
 * its network. Throws `tenant.desired`, `tenant.protected`, and what hostd answers.
 */
export async function removeTenant(
  context: ApiContext,
  { params, query }: Pick<HandlerInput<'removeTenant'>, 'params' | 'query'>,
  caller: PeerCredentials,
): Promise<{ tenant_id: string; destroyed: number }> {
  const { client, desired, overrides, actionTimeoutMs, reconciler } = context;
  const { tenant } = params;
  if (desired.loaded?.desired.tenants.some(({ tenant_id }) => tenant_id === tenant) === true) {
    throw refused(
      'desired',
      `tenant ${tenant} is in the desired state`,
      'Take it out first: mvm delete, or mvm edit.',
    );
  }
  const protection = protectionOf({ holds: [], ...overrides }, tenant);
  if (protection !== null) {
    const hint = `Take it out of ${protection} in the settings of mvm-agentd.`;
    throw refused('protected', `tenant ${tenant} is ${protection}: it is not removed`, hint);
  }
  const found = (await listTenants(client)).find(({ tenant_id }) => tenant_id === tenant);
  let destroyed = 0;
  for (const { pool_id } of found?.pools ?? []) {
    const removed = await removePool(context, { params: { tenant, pool: pool_id }, query }, caller);
    destroyed += removed.destroyed;
  }
  const options = { timeoutMs: actionTimeoutMs, origin: { uid: caller.uid, cause: 'api' } };
  await client.request({ type: 'RemoveTenant', tenant_id: tenant }, options).catch((error: unknown) => {
    if (!isCodedError(error) || error.code !== 'not_found') throw error;
  });
  reconciler.enqueue('request');
  return { tenant_id: tenant, destroyed };
}

function refused(what: 'desired' | 'protected', message: string, hint: string): CodedError {
  const reason = what === 'desired' ? 'tenant.desired' : 'tenant.protected';
  return new CodedError({ code: 'failed_precondition', reason, message, hint });
}
