import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { createNetworkExecutor } from '@mvm/net-executor/execute';
import {
  DEFAULT_CLUSTER_CIDR,
  type DesiredCounts,
  deriveTenantNet,
  type PoolSpec,
  type Quotas,
} from '@mvm/protocol';
import { callVersionOne, type RunningDaemon, startDaemon } from '@mvm/testkit';
import { execa } from 'execa';
import { createCgroups } from '../src/cgroup/cgroups.js';
import { DEFAULT_QUOTAS } from '../src/plan/plan-tenant.js';

/** A hostd of its own: state, run directory, socket and cgroup that no other test has. */
export interface TestHost {
  /** 0755, so that other users reach the socket. */
  readonly dir: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly socketPath: string;
  readonly cgroupParent: string;
  /** Start (or start again) with these flags besides the host's own. */
  start(options?: {
    args?: readonly string[];
    env?: Record<string, string>;
    prefix?: readonly string[];
  }): Promise<RunningDaemon>;
  readonly args: readonly string[];
  client(): HostdClient;
  /** One version 1 exchange by a client that shares no code with ours. */
  v1(body: unknown): Promise<unknown>;
  /** End what runs (VMs too), remove the directory. */
  dispose(): Promise<void>;
}

let count = 0;

/** What hostds of this network namespace have set up there is taken down, so that the next test finds it as it was. */
async function removeNetworks(): Promise<void> {
  const network = createNetworkExecutor({ clusterCidr: DEFAULT_CLUSTER_CIDR, uplinks: [] });
  await network.reconcile({ tenants: [] });
  await network.removeAll();
  await network.close();
}

/** Throws in a network namespace that leads anywhere: the machine's own is left alone. */
export async function createTestHost(): Promise<TestHost> {
  const { stdout: routes } = await execa('ip', ['route', 'show', 'default']);
  if (routes !== '') throw new Error('run this tier by its script: it needs a network namespace of its own');
  const dir = await mkdtemp('/tmp/mvmh-');
  await chmod(dir, 0o755);
  count += 1;
  const stateDir = join(dir, 's');
  const runDir = join(dir, 'r');
  const socketPath = join(dir, 'r', 'hostd.sock');
  const cgroupParent = `mvmh-${process.pid}-${count}`;
  const clients: HostdClient[] = [];
  const daemons: RunningDaemon[] = [];
  const args = [
    ...['--state-dir', stateDir, '--run-dir', runDir, '--socket', socketPath],
    ...['--cgroup-parent', cgroupParent, '--group', 'mvmh-none', '--log-level', 'debug'],
  ];
  return {
    dir,
    stateDir,
    runDir,
    socketPath,
    cgroupParent,
    args,
    start: async (options = {}) => {
      const daemon = await startDaemon({
        daemon: 'hostd',
        ...(options.env?.MVM_FAILPOINT === undefined ? {} : { program: 'mvm-hostd-crash' }),
        args: [...args, ...(options.args ?? [])],
        socketPath,
        ...(options.env === undefined ? {} : { env: options.env }),
        ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
      });
      daemons.push(daemon);
      return daemon;
    },
    client: () => {
      const client = createHostdClient({ socketPath, clientName: 'test' });
      clients.push(client);
      return client;
    },
    v1: (body) => callVersionOne(socketPath, body, 60_000),
    dispose: async () => {
      for (const client of clients) client.close();
      for (const daemon of daemons) await daemon.stop();
      const cgroups = await createCgroups({ parent: cgroupParent });
      for (const name of await cgroups.list()) {
        await cgroups.kill(name);
        await cgroups.remove(name);
      }
      await removeNetworks();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Waits until `probe` answers something but null or false; throws after `timeoutMs`. */
export async function until<T>(
  what: string,
  probe: () => Promise<T> | T,
  timeoutMs = 30_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(5);
  }
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
