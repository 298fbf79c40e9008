import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { createNetworkExecutor } from '@mvm/net-executor/execute';
import type { DesiredCounts, PoolSpec, Quotas } from '@mvm/protocol';
import { DEFAULT_CLUSTER_CIDR, deriveTenantNet } from '@mvm/protocol/names';
import { callVersionOne, createHost, type Host } from '@mvm/testkit';
import { createCgroups } from '../src/cgroup/cgroups.js';
import { DEFAULT_QUOTAS } from '../src/plan/plan-tenant.js';

/** A host with what hostd's tests ask of it. */
export interface TestHost extends Host {
  client(): HostdClient;
  /** One version 1 exchange by a client that shares no code with ours. */
  v1(body: unknown): Promise<unknown>;
  /** End what runs (VMs too), remove the directory. */
  dispose(): Promise<void>;
}

export { until } from '@mvm/testkit';

/** What hostds of this network namespace have set up there is taken down, so that the next test finds it as it was. */
async function removeNetworks(): Promise<void> {
  const network = createNetworkExecutor({ clusterCidr: DEFAULT_CLUSTER_CIDR, uplinks: [] });
  await network.reconcile({ tenants: [] });
  await network.removeAll();
  await network.close();
}

/** Throws in a network namespace that leads anywhere: the machine's own is left alone. */
export async function createTestHost(): Promise<TestHost> {
  const host = await createHost({ prefix: 'mvmh', args: ['--group', 'mvmh-none', '--log-level', 'debug'] });
  const clients: HostdClient[] = [];
  return {
    ...host,
    // Only the build for crash tests has failpoints.
    start: (options = {}) =>
      host.start(
        options.env?.MVM_FAILPOINT === undefined ? options : { program: 'mvm-hostd-crash', ...options },
      ),
    client: () => {
      const client = createHostdClient({ socketPath: host.socketPath, clientName: 'test' });
      clients.push(client);
      return client;
    },
    v1: (body) => callVersionOne(host.socketPath, body, 60_000),
    dispose: async () => {
      for (const client of clients) client.close();
      await host.dispose(async () => {
        const cgroups = await createCgroups({ parent: host.cgroupParent });
        for (const name of await cgroups.list()) {
          await cgroups.kill(name);
          await cgroups.remove(name);
        }
        await removeNetworks();
      });
    },
  };
}

/** The network that belongs to a net id. */
export const netOf = (netId: number): ReturnType<typeof deriveTenantNet> =>
  deriveTenantNet(netId, `10.${240 + (netId >> 8)}.${netId & 255}.0/24`);

const noCounts: DesiredCounts = { running: 0, warm: 0, sleeping: 0 };

/** A pool of small instances. */
export function poolSpec(over: Partial<PoolSpec> = {}): PoolSpec {
  return {
    flake_ref: 'demo',
    profile: 'minimal',
    role: 'worker',
    instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 32 },
    desired_counts: noCounts,
    runtime_policy: {
      min_running_seconds: 60,
      min_warm_seconds: 30,
      drain_timeout_seconds: 30,
      graceful_shutdown_seconds: 15,
    },
    seccomp_policy: 'baseline',
    snapshot_compression: 'none',
    secret_scopes: [],
    ...over,
  };
}

/** A recorded tenant with one pool `workers`. */
export async function ensureTenantAndPool(
  client: HostdClient,
  tenantId: string,
  netId: number,
  over: { quotas?: Partial<Quotas>; spec?: Partial<PoolSpec> } = {},
): Promise<void> {
  const quotas = { ...DEFAULT_QUOTAS, ...over.quotas };
  await client.request({ type: 'EnsureTenant', tenant_id: tenantId, net: netOf(netId), quotas });
  await client.request({
    type: 'EnsurePool',
    tenant_id: tenantId,
    pool_id: 'workers',
    spec: poolSpec(over.spec),
  });
}
