import type { V2Request } from '@mvm/protocol';
import type { Action, ActionKind } from './types.js';

const REQUESTS: { readonly [K in ActionKind]: (action: Action<K>) => V2Request } = {
  ensure_tenant: ({ tenant_id, net, quotas, policy }) => ({
    type: 'EnsureTenant',
    tenant_id,
    net,
    quotas,
    ...(policy === undefined ? {} : { policy }),
  }),
  ensure_pool: ({ tenant_id, pool_id, spec }) => ({ type: 'EnsurePool', tenant_id, pool_id, spec }),
  create: ({ tenant_id, pool_id }) => ({ type: 'CreateInstance', tenant_id, pool_id }),
  start: ({ tenant_id, pool_id, instance_id }) => ({
    type: 'StartInstance',
    tenant_id,
    pool_id,
    instance_id,
  }),
  wake: ({ tenant_id, pool_id, instance_id }) => ({ type: 'WakeInstance', tenant_id, pool_id, instance_id }),
  resume: ({ tenant_id, pool_id, instance_id }) => ({
    type: 'ResumeInstance',
    tenant_id,
    pool_id,
    instance_id,
  }),
  warm: ({ tenant_id, pool_id, instance_id }) => ({ type: 'WarmInstance', tenant_id, pool_id, instance_id }),
  sleep: ({ tenant_id, pool_id, instance_id, drain_timeout_seconds }) => ({
    type: 'SleepInstance',
    tenant_id,
    pool_id,
    instance_id,
    force: false,
    drain_timeout_secs: drain_timeout_seconds,
  }),
  stop: ({ tenant_id, pool_id, instance_id, graceful_shutdown_seconds }) => ({
    type: 'StopInstance',
    tenant_id,
    pool_id,
    instance_id,
    force: false,
    shutdown_timeout_secs: graceful_shutdown_seconds,
  }),
  destroy: ({ tenant_id, pool_id, instance_id, wipe_volumes }) => ({
    type: 'DestroyInstance',
    tenant_id,
    pool_id,
    instance_id,
    wipe_volumes,
  }),
  remove_pool: ({ tenant_id, pool_id }) => ({ type: 'RemovePool', tenant_id, pool_id }),
  remove_tenant: ({ tenant_id }) => ({ type: 'RemoveTenant', tenant_id }),
};

/** The request to hostd that carries out an action. */
export function requestFor<K extends ActionKind>(action: Action<K>): V2Request {
  // The table's entry for a kind takes exactly the actions of this kind.
  const render = REQUESTS[action.kind] as (action: Action) => V2Request;
  return render(action as Action);
}
