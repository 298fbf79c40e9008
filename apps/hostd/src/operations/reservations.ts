import { CodedError, type InstanceResources, type TenantNet } from '@mvm/protocol';
import type { RunningUsage } from '../plan/admission.js';
import { publishedPorts } from '../plan/plan-pool.js';
import { addressText, type InstanceAddress, type PoolAddress } from '../state/layout.js';
import type { StateStore } from '../state/store.js';

/**
 * What operations under way have claimed and no record shows yet, so that two operations cannot both take the last of
 * something.
 *
 * INVARIANTS
 * - Checking and claiming happen in one synchronous piece of code; nothing comes between.
 * - A claim ends with its operation, however that ends; by then the record shows what became of it.
 */
export interface Reservations {
  /** What the tenant's running instances use, with those that are being started, without `except`. */
  runningUsage(tenantId: string, except: InstanceAddress): RunningUsage;
  /** Throws `tenant.network_down` while the tenant's network is being taken down. */
  checkStart(tenantId: string): void;
  /** Claim a start; refused, `tenant.network_down`, while the tenant's network is being taken down. Returns the release. */
  reserveStart(address: InstanceAddress, resources: InstanceResources): () => void;
  /** How many of the tenant's instances are warm, with those that are being paused, without `except`. */
  warmCount(tenantId: string, except: InstanceAddress): number;
  reserveWarm(address: InstanceAddress): () => void;
  /** Networks of all tenants but this one, recorded or claimed, by tenant. */
  otherNets(tenantId: string): ReadonlyMap<string, TenantNet>;
  reserveNet(tenantId: string, net: TenantNet): () => void;
  /** Host ports that all pools but this one publish, recorded or claimed, as `tcp 8443`, and which pool that is. */
  otherPublished(pool: PoolAddress): ReadonlyMap<string, string>;
  reservePublished(pool: PoolAddress, ports: readonly string[]): () => void;
  /** How many instances of the tenant run or are being started. */
  runningCount(tenantId: string): number;
  /** Claim the taking down of a tenant's network; the caller has checked that nothing runs. */
  reserveTeardown(tenantId: string): () => void;
}

const poolText = ({ tenant_id, pool_id }: PoolAddress): string => `${tenant_id}/${pool_id}`;

function larger(a: InstanceResources, b: InstanceResources = a): InstanceResources {
  return {
    vcpus: Math.max(a.vcpus, b.vcpus),
    mem_mib: Math.max(a.mem_mib, b.mem_mib),
    data_disk_mib: Math.max(a.data_disk_mib, b.data_disk_mib),
  };
}

export function createReservations(store: StateStore): Reservations {
  const starts = new Map<string, { address: InstanceAddress; resources: InstanceResources }>();
  const pauses = new Map<string, InstanceAddress>();
  const nets = new Map<string, TenantNet>();
  const teardowns = new Set<string>();
  const published = new Map<string, readonly string[]>();

  const running = (tenantId: string): { key: string; resources: InstanceResources }[] => {
    const recorded = store
      .instancesOfTenant(tenantId)
      .filter((instance) => instance.status === 'running' || instance.status === 'warm')
      .flatMap((instance) => {
        const resources = instance.running_with?.resources ?? store.pool(instance)?.instance_resources;
        return resources === undefined ? [] : [{ key: addressText(instance), resources }];
      })
      // One that is rebooted may take more than it has now.
      .map(({ key, resources }) => ({ key, resources: larger(resources, starts.get(key)?.resources) }));
    const keys = new Set(recorded.map(({ key }) => key));
    const starting = [...starts]
      .filter(([key, claim]) => claim.address.tenant_id === tenantId && !keys.has(key))
      .map(([key, claim]) => ({ key, resources: claim.resources }));
    return [...recorded, ...starting];
  };

  const checkStart = (tenantId: string): void => {
    if (!teardowns.has(tenantId)) return;
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.network_down',
      message: `the network of tenant ${tenantId} is being taken down`,
      hint: 'Set it up again (SetupNetwork), then start the instance.',
    });
  };

  return {
    runningUsage: (tenantId, except) => {
      const others = running(tenantId).filter(({ key }) => key !== addressText(except));
      return {
        running: others.length,
        vcpus: others.reduce((sum, { resources }) => sum + resources.vcpus, 0),
        memMib: others.reduce((sum, { resources }) => sum + resources.mem_mib, 0),
      };
    },
    checkStart,
    reserveStart: (address, resources) => {
      checkStart(address.tenant_id);
      const key = addressText(address);
      starts.set(key, { address, resources });
      return () => starts.delete(key);
    },
    warmCount: (tenantId, except) => {
      const recorded = store.instancesOfTenant(tenantId).filter(({ status }) => status === 'warm');
      const pausing = [...pauses.values()].filter(({ tenant_id }) => tenant_id === tenantId);
      const keys = new Set([...recorded, ...pausing].map(addressText));
      keys.delete(addressText(except));
      return keys.size;
    },
    reserveWarm: (address) => {
      const key = addressText(address);
      pauses.set(key, address);
      return () => pauses.delete(key);
    },
    otherNets: (tenantId) => {
      const others = new Map(store.tenants().map((tenant) => [tenant.tenant_id, tenant.net as TenantNet]));
      for (const [id, net] of nets) others.set(id, net);
      others.delete(tenantId);
      return others;
    },
    reserveNet: (tenantId, net) => {
      nets.set(tenantId, net);
      return () => nets.delete(tenantId);
    },
    otherPublished: (pool) => {
      const recorded = store.tenants().flatMap(({ tenant_id }) => store.poolsOf(tenant_id));
      const all = [
        ...recorded.map((record) => [poolText(record), publishedPorts(record)] as const),
        ...published,
      ];
      return new Map(
        all
          .filter(([owner]) => owner !== poolText(pool))
          .flatMap(([owner, ports]) => ports.map((port) => [port, owner] as const)),
      );
    },
    reservePublished: (pool, ports) => {
      published.set(poolText(pool), ports);
      return () => published.delete(poolText(pool));
    },
    runningCount: (tenantId) => running(tenantId).length,
    reserveTeardown: (tenantId) => {
      teardowns.add(tenantId);
      return () => teardowns.delete(tenantId);
    },
  };
}
