import type { ActionView } from '@mvm/agentd-api';
import type { Action, ActionKind } from './types.js';

/**
 * The phases of a pass: all actions of one phase may run at the same time, and a phase begins when the one before it
 * has ended. An action whose tenant or pool failed to be ensured in the same pass is not tried.
 */
export const PHASES: Readonly<Record<ActionKind, number>> = {
  ensure_tenant: 0,
  ensure_pool: 1,
  start: 2,
  wake: 2,
  resume: 2,
  create: 2,
  warm: 2,
  sleep: 2,
  stop: 2,
  destroy: 2,
  remove_pool: 3,
  remove_tenant: 4,
};

/** What an action is about, `tenant`, `tenant/pool` or `tenant/pool/instance`. */
export function targetOf(action: Action): string {
  const parts = [action.tenant_id];
  if ('pool_id' in action) parts.push(action.pool_id);
  if ('instance_id' in action) parts.push(action.instance_id);
  return parts.join('/');
}

/** The key of `PlanContext.failures`: one history per kind of action and target. */
export function failureKey(kind: ActionKind, target: string): string {
  return `${kind} ${target}`;
}

/** An action as the API shows it. */
export function toActionView(action: Action): ActionView {
  return {
    kind: action.kind,
    tenant_id: action.tenant_id,
    pool_id: 'pool_id' in action ? action.pool_id : null,
    instance_id: 'instance_id' in action ? action.instance_id : null,
    reason: action.reason,
  };
}
