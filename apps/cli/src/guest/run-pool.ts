import { hostname } from 'node:os';
import { CodedError, type GuestProgram } from '@mvm/protocol';
import type { DesiredState, RestartPolicy } from '@mvm/protocol/state';

type DesiredTenant = DesiredState['tenants'][number];
type DesiredPool = DesiredTenant['pools'][number];

/** What `mvm run` wants. */
export interface RunSpec {
  readonly tenantId: string;
  readonly poolId: string;
  readonly image: string;
  readonly vcpus: number;
  readonly memMib: number;
  readonly publish: NonNullable<NonNullable<DesiredPool['network_policy']>['publish']>;
  /** What its guest runs in place of what its image says. */
  readonly program: GuestProgram;
  /** Absent: always. */
  readonly restart?: RestartPolicy | undefined;
}

const QUOTAS: DesiredTenant['quotas'] = {
  max_vcpus: 32,
  max_mem_mib: 65_536,
  max_running: 32,
  max_warm: 32,
  max_pools: 32,
  max_instances_per_pool: 32,
  max_disk_gib: 100,
};
const MAX_NET_ID = 255;

/** A network that no tenant of the state has: `10.240.<id>.0/24`. */
function freeNetwork({ tenants }: DesiredState): DesiredTenant['network'] {
  const used = new Set(tenants.map(({ network }) => network.tenant_net_id));
  const subnets = new Set(tenants.map(({ network }) => network.ipv4_subnet));
  for (let id = 1; id <= MAX_NET_ID; id += 1) {
    const ipv4_subnet = `10.240.${id}.0/24`;
    if (!used.has(id) && !subnets.has(ipv4_subnet)) return { tenant_net_id: id, ipv4_subnet };
  }
  throw new CodedError({
    code: 'resource_exhausted',
    reason: 'cli.no_network_left',
    message: 'no network of the form 10.240.<n>.0/24 is left for a new tenant',
    hint: 'make the tenant yourself (mvm apply), and run the image in it',
  });
}

/** The state with a pool of one running instance, and its tenant when there is none of that name. Pure. */
export function withRunPool(current: DesiredState | null, spec: RunSpec): DesiredState {
  const desired = current ?? {
    schema_version: 1,
    node_id: hostname(),
    prune_unknown_tenants: false,
    prune_unknown_pools: false,
    tenants: [],
  };
  const pool: DesiredPool = {
    pool_id: spec.poolId,
    flake_ref: spec.image,
    profile: 'minimal',
    role: 'worker',
    instance_resources: { vcpus: spec.vcpus, mem_mib: spec.memMib, data_disk_mib: 0 },
    desired_counts: { running: 1, warm: 0, sleeping: 0 },
    runtime_policy: {
      min_running_seconds: 60,
      min_warm_seconds: 30,
      drain_timeout_seconds: 30,
      graceful_shutdown_seconds: 15,
    },
    seccomp_policy: 'baseline',
    snapshot_compression: 'none',
    secret_scopes: [],
    ...spec.program,
    ...(spec.restart === undefined ? {} : { restart: spec.restart }),
    ...(spec.publish.length === 0 ? {} : { network_policy: { publish: spec.publish } }),
  };
  const known = desired.tenants.find(({ tenant_id }) => tenant_id === spec.tenantId);
  const tenant: DesiredTenant = known ?? {
    tenant_id: spec.tenantId,
    network: freeNetwork(desired),
    quotas: QUOTAS,
    secrets_hash: null,
    pools: [],
  };
  if (tenant.pools.some(({ pool_id }) => pool_id === spec.poolId)) {
    throw new CodedError({
      code: 'already_exists',
      reason: 'cli.pool_exists',
      message: `there is a pool ${spec.tenantId}/${spec.poolId} already`,
      hint: 'choose another name: mvm run --name …',
    });
  }
  const added = { ...tenant, pools: [...tenant.pools, pool] };
  const tenants =
    known === undefined
      ? [...desired.tenants, added]
      : desired.tenants.map((entry) => (entry === known ? added : entry));
  return { ...desired, tenants };
}

/** The state without a pool. Its tenant stays. Pure. */
export function withoutPool(
  desired: DesiredState,
  { tenantId, poolId }: Pick<RunSpec, 'tenantId' | 'poolId'>,
): DesiredState {
  const tenants = desired.tenants.map((tenant) =>
    tenant.tenant_id === tenantId
      ? { ...tenant, pools: tenant.pools.filter(({ pool_id }) => pool_id !== poolId) }
      : tenant,
  );
  return { ...desired, tenants };
}
