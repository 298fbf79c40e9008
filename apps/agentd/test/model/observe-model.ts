import type { ActivitySample } from '../../src/reconcile/activity.js';
import { addressOf } from '../../src/reconcile/inventory.js';
import type { ObservedHost, PlanContext } from '../../src/reconcile/types.js';
import type { ModelHost } from './model-host.js';

/** The model as agentd would observe it. */
export function observeModel(host: ModelHost): ObservedHost {
  const tenants = host.handle({ type: 'ListTenants' });
  const instances = host.handle({ type: 'ListInstances' });
  const info = host.handle({ type: 'HostInfo' });
  if (tenants.type !== 'Tenants' || instances.type !== 'Instances' || info.type !== 'Host') {
    throw new Error('the model answered with something else');
  }
  return {
    tenants: tenants.tenants,
    instances: instances.instances,
    images: info.images,
    clusterCidr: info.cluster_cidr,
    connectedAgents: instances.instances.filter((view) => host.agentConnected(view) === true).map(addressOf),
  };
}

/** How busy the model's instances are, as hostd would tell. */
export function sampleModel(host: ModelHost): ActivitySample {
  const answer = host.handle({ type: 'ListActivity' });
  if (answer.type !== 'Activity') throw new Error('the model answered with something else');
  return { activity: answer.activity, monotonicMs: answer.monotonic_ms };
}

/** A planner's context without failures. */
export function quietContext(nowMs: number, fields: Partial<PlanContext> = {}): PlanContext {
  return { nowMs, failures: {}, bootGraceMs: 60_000, maxActions: 64, ...fields };
}

export const NO_OVERRIDES = { holds: [], pinned: [], critical: [] } as const;
