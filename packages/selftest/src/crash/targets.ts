import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isCodedError, type PoolSpec, type Quotas, type V2Request } from '@mvm/protocol';
import { deriveTenantNet } from '@mvm/protocol/names';
import type { Naming } from '../host/host-view.js';
import type { CrashHost } from './crash-host.js';

/** What an instance, a tenant or a pool is: `new` has never been started, `idle` is ready or stopped. */
export type State = 'absent' | 'new' | 'idle' | 'running' | 'warm' | 'sleeping' | 'up' | 'down' | 'moved';

/**
 * Something that operations are crashed on.
 * `keeper`: an instance with a booted guest, which must never be lost. `spare`: an instance whose guest does not matter.
 * `bystander`: another tenant's running instance, which must notice nothing. `network`: a tenant without instances.
 * `pool`: a pool without instances. `fresh`: an instance that was created before its pool had an image.
 */
export type TargetName = 'keeper' | 'spare' | 'fresh' | 'bystander' | 'network' | 'pool';

export interface Target {
  readonly name: TargetName;
  /** Throws for a state that is none, e.g. an answer that contradicts itself. */
  state(): Promise<State>;
  /** Bring it into a state by plain requests. */
  goTo(state: State): Promise<void>;
  /** Null before it was there once. */
  naming(): Naming | null;
}

export interface InstanceAddress {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

export interface InstanceTarget extends Target {
  readonly address: InstanceAddress;
  tap(): string | null;
  describe(): Promise<InstanceFacts | null>;
}

/** What is looked at of an instance; null for one that is absent. */
export interface InstanceFacts {
  readonly status: string;
  readonly pid: number | null;
  readonly stopReason: string | null;
}

const POOL = 'workers';
export const KEEPER: InstanceAddress = { tenant_id: 'selftest-a', pool_id: POOL, instance_id: 'i-keeper' };
export const SPARE: InstanceAddress = { tenant_id: 'selftest-a', pool_id: POOL, instance_id: 'i-spare' };
export const BYSTANDER: InstanceAddress = { tenant_id: 'selftest-b', pool_id: POOL, instance_id: 'i-by' };
export const NETWORK_TENANT = 'selftest-c';

const netOf = (id: number): ReturnType<typeof deriveTenantNet> => deriveTenantNet(id, `10.240.${id}.0/24`);
export const NETWORK = netOf(5);
/** What `NETWORK_TENANT` is moved to. */
export const OTHER_NETWORK = netOf(6);

export const QUOTAS: Quotas = {
  max_vcpus: 16,
  max_mem_mib: 65_536,
  max_running: 16,
  max_warm: 16,
  max_pools: 4,
  max_instances_per_pool: 16,
  max_disk_gib: 64,
};

export function poolSpec(memMib: number): PoolSpec {
  return {
    flake_ref: 'selftest',
    profile: 'minimal',
    role: 'worker',
    instance_resources: { vcpus: 1, mem_mib: memMib, data_disk_mib: 32 },
    desired_counts: { running: 0, warm: 0, sleeping: 0 },
    runtime_policy: {
      min_running_seconds: 60,
      min_warm_seconds: 30,
      drain_timeout_seconds: 5,
      graceful_shutdown_seconds: 15,
    },
    seccomp_policy: 'baseline',
    snapshot_compression: 'none',
    secret_scopes: ['*'],
  };
}

/** Record the two tenants that have instances, and their pools. */
export async function prepareTenants({ client, memMib, stateDir }: CrashHost): Promise<void> {
  for (const [tenant_id, id] of [
    [KEEPER.tenant_id, 3],
    [BYSTANDER.tenant_id, 4],
  ] as const) {
    await client.request({ type: 'EnsureTenant', tenant_id, net: netOf(id), quotas: QUOTAS });
    // With secrets there is a drive for them to be built, and to be gone.
    const secrets = join(stateDir, 'tenants', tenant_id, 'secrets.json');
    // On the disk at once: a loss of power may come with the first case.
    await writeFile(secrets, JSON.stringify({ TOKEN: 'of a self-test' }), { mode: 0o600, flush: true });
    await client.request({ type: 'EnsurePool', tenant_id, pool_id: POOL, spec: poolSpec(memMib) });
  }
}

const STATES: Readonly<Record<string, State>> = {
  created: 'new',
  ready: 'idle',
  stopped: 'idle',
  running: 'running',
  warm: 'warm',
  sleeping: 'sleeping',
};

/** The request that comes next on the way from one state to another. Pure. */
function nextRequest(address: InstanceAddress, from: State, to: State): V2Request {
  const ask = <
    T extends 'StartInstance' | 'StopInstance' | 'WakeInstance' | 'WarmInstance' | 'ResumeInstance',
  >(
    type: T,
  ): V2Request => ({ type, ...address }) as V2Request;
  if (from === 'absent') return { type: 'CreateInstance', ...address };
  if (to === 'absent') return { type: 'DestroyInstance', ...address, wipe_volumes: false };
  if (from === 'idle' || from === 'new') return ask('StartInstance');
  if (to === 'idle') return ask('StopInstance');
  if (from === 'sleeping') return ask('WakeInstance');
  if (to === 'sleeping') return { type: 'SleepInstance', ...address, force: true };
  return ask(to === 'warm' ? 'WarmInstance' : 'ResumeInstance');
}

/** An instance as a target; `ready` is awaited whenever a guest of it has been started from nothing. */
export function instanceTarget(
  host: CrashHost,
  name: TargetName,
  address: InstanceAddress,
  booted: () => Promise<void> = async () => {},
): InstanceTarget {
  let naming: Naming | null = null;
  let tap: string | null = null;
  const describe = async (): Promise<InstanceFacts | null> => {
    try {
      const view = await host.client.request({ type: 'DescribeInstance', ...address });
      if (view.net !== null) {
        tap = view.net.tap_dev;
        const { mac, guest_ip } = view.net;
        naming = {
          names: [
            [address.instance_id, '<id>'],
            [tap, '<tap>'],
            [mac, '<mac>'],
            [guest_ip, '<ip>'],
          ],
          also: [
            [address.tenant_id, '<tenant>'],
            [`br-tenant-${/^tn(\d+)i/.exec(tap)?.[1]}`, '<bridge>'],
            [view.net.gateway_ip, '<gateway>'],
            [view.net.cidr, '<subnet>'],
          ],
        };
      }
      return { status: view.status, pid: view.pid, stopReason: view.stop_reason?.kind ?? null };
    } catch (error) {
      if (isCodedError(error) && ['instance.not_found', 'pool.not_found'].includes(error.reason)) return null;
      throw error;
    }
  };
  const target: InstanceTarget = {
    name,
    address,
    describe,
    tap: () => tap,
    naming: () => naming,
    state: async () => {
      const facts = await describe();
      if (facts === null) return 'absent';
      const state = STATES[facts.status];
      if (state === undefined)
        throw new Error(`${address.instance_id} is ${facts.status}, which is no state`);
      return state;
    },
    goTo: async (to) => {
      for (let tries = 0; tries < 8; tries += 1) {
        const from = await target.state();
        if (from === to) return;
        await host.client.request(nextRequest(address, from, to));
        if ((from === 'idle' || from === 'new') && to !== 'absent' && to !== 'new') await booted();
      }
      throw new Error(`${address.instance_id} does not become ${to}`);
    },
  };
  return target;
}

/** The tenant whose network is set up and taken down. */
export function networkTarget(host: CrashHost): Target {
  const { client } = host;
  const target: Target = {
    name: 'network',
    naming: () => ({
      also: [],
      names: [
        [NETWORK_TENANT, '<tenant>'],
        ...[NETWORK, OTHER_NETWORK].flatMap(
          (net) =>
            [
              [net.bridge_name, '<bridge>'],
              [net.gateway_ip, '<gateway>'],
              [net.ipv4_subnet, '<subnet>'],
              [net.ipv4_subnet.replace('/24', ''), '<subnet address>'],
            ] as const,
        ),
      ],
    }),
    state: async () => {
      const { tenants } = await client.request({ type: 'ListTenants' });
      const tenant = tenants.find(({ tenant_id }) => tenant_id === NETWORK_TENANT);
      if (tenant === undefined) return 'absent';
      if (!tenant.network_up) return 'down';
      return tenant.net.tenant_net_id === NETWORK.tenant_net_id ? 'up' : 'moved';
    },
    goTo: async (to) => {
      const tenant_id = NETWORK_TENANT;
      for (let tries = 0; tries < 4; tries += 1) {
        const from = await target.state();
        if (from === to) return;
        if (to === 'absent') await client.request({ type: 'RemoveTenant', tenant_id });
        else if (to === 'down' && from === 'up') {
          await client.request({ type: 'TeardownNetwork', tenant_id, net: NETWORK });
        } else {
          const net = to === 'moved' ? OTHER_NETWORK : NETWORK;
          await client.request({ type: 'EnsureTenant', tenant_id, net, quotas: QUOTAS });
        }
      }
      throw new Error(`${tenant_id} does not become ${to}`);
    },
  };
  return target;
}

/** Its pool's image is registered after the instance was created. */
export const LATE_POOL = { tenant_id: KEEPER.tenant_id, pool_id: 'late' } as const;
export const FRESH: InstanceAddress = { ...LATE_POOL, instance_id: 'i-fresh' };
const LATE_IMAGE = 'selftest-late';

export const latePoolSpec = (memMib: number): PoolSpec => ({ ...poolSpec(memMib), flake_ref: LATE_IMAGE });

export function freshTarget(host: CrashHost): InstanceTarget {
  const target = instanceTarget(host, 'fresh', FRESH);
  const { client } = host;
  return {
    ...target,
    goTo: async (to) => {
      if (to !== 'new') {
        await target.goTo(to);
        return;
      }
      const state = await target.state();
      if (state === 'new') return;
      await target.goTo('absent');
      await host.removeImage(LATE_IMAGE);
      await client.request({ type: 'EnsurePool', ...LATE_POOL, spec: latePoolSpec(host.memMib) });
      await client.request({ type: 'CreateInstance', ...FRESH });
      await host.addImage(LATE_IMAGE);
    },
  };
}

/** The pool that is recorded and removed. */
export const EXTRA_POOL = { tenant_id: KEEPER.tenant_id, pool_id: 'extra' } as const;

export function poolTarget(host: CrashHost): Target {
  const { client } = host;
  const target: Target = {
    name: 'pool',
    naming: () => ({ names: [[EXTRA_POOL.pool_id, '<pool>']], also: [] }),
    state: async () => {
      const { tenants } = await client.request({ type: 'ListTenants' });
      const tenant = tenants.find(({ tenant_id }) => tenant_id === EXTRA_POOL.tenant_id);
      return tenant?.pools.some(({ pool_id }) => pool_id === EXTRA_POOL.pool_id) === true ? 'up' : 'absent';
    },
    goTo: async (to) => {
      if ((await target.state()) === to) return;
      if (to === 'absent') await client.request({ type: 'RemovePool', ...EXTRA_POOL });
      else await client.request({ type: 'EnsurePool', ...EXTRA_POOL, spec: poolSpec(host.memMib) });
    },
  };
  return target;
}
