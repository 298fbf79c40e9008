import type { HostdClient } from '@mvm/hostd-client';
import type { InstanceView } from '@mvm/protocol';
import type { ObservedHost, ObservedTenant } from './types.js';

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

/** What the planner needs to know of the host. Throws the errors of `HostdClient.request`. */
export async function observeHost(client: HostdClient, signal?: AbortSignal): Promise<ObservedHost> {
  const [host, tenants, instances] = await Promise.all([
    client.request({ type: 'HostInfo' }, { signal }),
    listTenants(client, signal),
    listInstances(client, {}, signal),
  ]);
  return { tenants, instances, images: host.images, clusterCidr: host.cluster_cidr };
}
