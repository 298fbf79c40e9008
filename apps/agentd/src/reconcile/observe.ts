import type { HostdClient } from '@mvm/hostd-client';
import { type InstanceActivity, type InstanceView, isCodedError, type ResponseOf } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import pLimit from 'p-limit';
import type { ActivitySample } from './activity.js';
import { withoutFutureTimes } from './future-times.js';
import { addressOf } from './inventory.js';
import { agentsToAskFor } from './readiness.js';
import type { ObservedHost, ObservedTenant, PlanContext } from './types.js';

/** Instances that are asked about at the same time. */
const PARALLEL_QUESTIONS = 8;

interface Filter {
  readonly tenant_id?: string;
  readonly pool_id?: string;
}

/** All tenants that hostd records, with their pools, page by page. */
export async function listTenants(client: HostdClient, signal?: AbortSignal): Promise<ObservedTenant[]> {
  const tenants: ObservedTenant[] = [];
  let cursor: string | null = null;
  do {
    const page: { tenants: ObservedTenant[]; next_cursor: string | null } = await client.request(
      { type: 'ListTenants', ...(cursor === null ? {} : { cursor }) },
      { signal },
    );
    tenants.push(...page.tenants);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return tenants;
}

/** All instances, or those of a tenant or pool, page by page; destroyed ones are left out. */
export async function listInstances(
  client: HostdClient,
  filter: Filter = {},
  signal?: AbortSignal,
): Promise<InstanceView[]> {
  const instances: InstanceView[] = [];
  let cursor: string | null = null;
  do {
    const page: { instances: InstanceView[]; next_cursor: string | null } = await client.request(
      { type: 'ListInstances', ...filter, ...(cursor === null ? {} : { cursor }) },
      { signal },
    );
    instances.push(...page.instances);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return instances.filter((view) => view.status !== 'destroyed');
}

/** Which of these instances have their guest's agent there; one that is gone by now has not. */
async function connectedAmong(
  client: HostdClient,
  instances: readonly InstanceView[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const limit = pLimit(PARALLEL_QUESTIONS);
  const answers = await Promise.all(instances.map((view) => limit(ask, view)));
  return answers.flat();

  async function ask(view: InstanceView): Promise<string[]> {
    const { tenant_id, pool_id, instance_id } = view;
    const address = { tenant_id, pool_id, instance_id };
    try {
      const { agent_connected } = await client.request({ type: 'DescribeInstance', ...address }, { signal });
      return agent_connected === true ? [addressOf(view)] : [];
    } catch (error) {
      if (isCodedError(error) && error.code === 'not_found') return [];
      throw error;
    }
  }
}

/** Codes with which a hostd answers that does not know a request. */
const UNKNOWN: ReadonlySet<string> = new Set(['unimplemented', 'protocol_mismatch', 'invalid_argument']);

/** How busy all instances are, page by page; null when hostd has no such request. */
export async function listActivity(
  client: HostdClient,
  signal?: AbortSignal,
): Promise<ActivitySample | null> {
  const activity: InstanceActivity[] = [];
  let monotonicMs = 0;
  let cursor: string | null = null;
  do {
    try {
      const page: ResponseOf<'ListActivity'> = await client.request(
        { type: 'ListActivity', ...(cursor === null ? {} : { cursor }) },
        { signal },
      );
      activity.push(...page.activity);
      // All pages are read at nearly the same time; the last is the one that a later look must come after.
      monotonicMs = page.monotonic_ms;
      cursor = page.next_cursor;
    } catch (error) {
      if (isCodedError(error) && UNKNOWN.has(error.code)) return null;
      throw error;
    }
  } while (cursor !== null);
  return { activity, monotonicMs };
}

function hasSleepPolicy({ tenants }: DesiredState): boolean {
  return tenants.some(({ pools }) => pools.some(({ sleep_policy }) => sleep_policy != null));
}

/** What the planner needs to know of the host to bring it to `desired`. Throws the errors of `HostdClient.request`. */
export async function observeHost(
  client: HostdClient,
  desired: DesiredState | null,
  context: Pick<PlanContext, 'nowMs' | 'bootGraceMs'>,
  signal?: AbortSignal,
): Promise<ObservedHost> {
  const [host, tenants, listed] = await Promise.all([
    client.request({ type: 'HostInfo' }, { signal }),
    listTenants(client, signal),
    listInstances(client, {}, signal),
  ]);
  const instances = listed.map((view) => withoutFutureTimes(view, context.nowMs));
  const inQuestion = desired === null ? [] : agentsToAskFor(desired, instances, context);
  const connectedAgents = await connectedAmong(client, inQuestion, signal);
  const activity = desired !== null && hasSleepPolicy(desired) ? await listActivity(client, signal) : null;
  return {
    tenants,
    instances,
    images: host.images,
    clusterCidr: host.cluster_cidr,
    connectedAgents,
    activity,
  };
}
