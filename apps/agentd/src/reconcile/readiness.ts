import type { InstanceView } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { addressOf, sinceMs } from './inventory.js';
import { leadsTo } from './leads-to.js';
import type { PlanContext } from './types.js';

/**
 * When a running instance may be paused or put to sleep as far as its guest is concerned, milliseconds since 1970: at
 * once when its agent is there; a guest without one counts as booted after `bootGraceMs`.
 */
export function readyAt(
  view: InstanceView,
  connectedAgents: readonly string[],
  { bootGraceMs }: Pick<PlanContext, 'bootGraceMs'>,
): number {
  return connectedAgents.includes(addressOf(view)) ? 0 : sinceMs(view) + bootGraceMs;
}

/**
 * The instances whose agents a plan may have to know of: those that run for less than `bootGraceMs`, in pools that want
 * some warm or asleep and of which more run than are wanted, or that put idle ones to sleep. Pure.
 */
export function agentsToAskFor(
  desired: DesiredState,
  instances: readonly InstanceView[],
  { nowMs, bootGraceMs }: Pick<PlanContext, 'nowMs' | 'bootGraceMs'>,
): readonly InstanceView[] {
  return desired.tenants.flatMap(({ tenant_id, pools }) =>
    pools.flatMap(({ pool_id, desired_counts: { running, warm, sleeping }, sleep_policy }) => {
      if (warm + sleeping === 0 && sleep_policy == null) return [];
      const own = instances.filter(
        (view) => view.tenant_id === tenant_id && view.pool_id === pool_id && leadsTo(view) === 'running',
      );
      if (own.length <= running && sleep_policy == null) return [];
      return own.filter((view) => view.operation === null && sinceMs(view) + bootGraceMs > nowMs);
    }),
  );
}
