import { isCodedError } from '@mvm/errors';
import { describe, expect, it } from 'vitest';
import { parseDesiredState } from './desired-state.js';

const quotas = {
  max_vcpus: 16,
  max_mem_mib: 32_768,
  max_running: 8,
  max_warm: 4,
  max_pools: 4,
  max_instances_per_pool: 16,
  max_disk_gib: 100,
};
const pool = {
  pool_id: 'workers',
  flake_ref: 'demo',
  profile: 'minimal',
  role: 'worker',
  instance_resources: { vcpus: 2, mem_mib: 1024, data_disk_mib: 2048 },
  desired_counts: { running: 3, warm: 1, sleeping: 2 },
  runtime_policy: {
    min_running_seconds: 60,
    min_warm_seconds: 30,
    drain_timeout_seconds: 30,
    graceful_shutdown_seconds: 15,
  },
  seccomp_policy: 'baseline',
  snapshot_compression: 'zstd',
  secret_scopes: [],
};
const tenant = {
  tenant_id: 'acme',
  network: { tenant_net_id: 3, ipv4_subnet: '10.240.3.0/24' },
  quotas,
  secrets_hash: null,
  pools: [pool],
};
const state = {
  schema_version: 1,
  node_id: 'node-1',
  prune_unknown_tenants: false,
  prune_unknown_pools: false,
  tenants: [tenant],
};
const second = { ...tenant, tenant_id: 'beta', network: { tenant_net_id: 4, ipv4_subnet: '10.240.4.0/24' } };

function withPool(change: object): object {
  return { ...state, tenants: [{ ...tenant, pools: [{ ...pool, ...change }] }] };
}

function problem(value: unknown): { message: string; reason: string; details: object } {
  try {
    parseDesiredState(value);
  } catch (error) {
    if (!isCodedError(error)) throw error;
    expect(error.code).toBe('invalid_argument');
    return error;
  }
  throw new Error('was accepted');
}

describe('desired state', () => {
  it('is taken as it is when complete', () => {
    expect(parseDesiredState(structuredClone(state))).toEqual(state);
    expect(parseDesiredState({ ...state, tenants: [tenant, second] }).tenants).toHaveLength(2);
  });

  it('gets the defaults of the contract', () => {
    const minimal = {
      schema_version: 1,
      node_id: 'n',
      tenants: [
        {
          tenant_id: 'acme',
          network: tenant.network,
          quotas,
          pools: [{ pool_id: 'p', flake_ref: 'demo', instance_resources: pool.instance_resources }],
        },
      ],
    };
    const parsed = parseDesiredState(minimal);
    expect(parsed).toMatchObject({ prune_unknown_tenants: false, prune_unknown_pools: false });
    expect(parsed.tenants[0]).toMatchObject({ secrets_hash: null });
    expect(parsed.tenants[0]?.pools[0]).toMatchObject({
      role: 'worker',
      desired_counts: { running: 0, warm: 0, sleeping: 0 },
      runtime_policy: {
        min_running_seconds: 60,
        min_warm_seconds: 30,
        drain_timeout_seconds: 30,
        graceful_shutdown_seconds: 15,
      },
    });
  });

  it.each<[string, unknown, string]>([
    ['not an object', 'x', 'desired state'],
    ['another schema version', { ...state, schema_version: 2 }, 'schema_version'],
    ['an unknown field', { ...state, extra: 1 }, 'extra'],
    ['an unknown field of a tenant', { ...state, tenants: [{ ...tenant, extra: 1 }] }, 'tenants[0]'],
    [
      'an unknown field of a network',
      { ...state, tenants: [{ ...tenant, network: { ...tenant.network, x: 1 } }] },
      'network',
    ],
    [
      'an unknown quota',
      { ...state, tenants: [{ ...tenant, quotas: { ...quotas, x: 1 } }] },
      'tenants[0].quotas',
    ],
    ['an unknown field of a pool', withPool({ extra: 1 }), 'tenants[0].pools[0]'],
    [
      'an unknown resource',
      withPool({ instance_resources: { ...pool.instance_resources, gpus: 1 } }),
      'instance_resources',
    ],
    ['an unknown count', withPool({ desired_counts: { ...pool.desired_counts, idle: 1 } }), 'desired_counts'],
    ['an unknown policy', withPool({ runtime_policy: { ...pool.runtime_policy, x: 1 } }), 'runtime_policy'],
    [
      'a tenant without a network',
      { ...state, tenants: [{ ...tenant, network: undefined }] },
      'tenants[0].network',
    ],
    [
      'more than 100 instances',
      withPool({ desired_counts: { running: 101, warm: 0, sleeping: 0 } }),
      'desired_counts.running',
    ],
    [
      'a negative count',
      withPool({ desired_counts: { running: -1, warm: 0, sleeping: 0 } }),
      'desired_counts.running',
    ],
    ['no vCPU', withPool({ instance_resources: { vcpus: 0, mem_mib: 64, data_disk_mib: 0 } }), 'vcpus'],
    ['a bad tenant id', { ...state, tenants: [{ ...tenant, tenant_id: '../x' }] }, 'tenants[0].tenant_id'],
    ['a bad pool id', withPool({ pool_id: 'A' }), 'tenants[0].pools[0].pool_id'],
    [
      'an unknown field of a network policy',
      { ...state, tenants: [{ ...tenant, network: { ...tenant.network, policy: { x: 1 } } }] },
      'tenants[0].network.policy',
    ],
    [
      'a published port of a tenant as a whole',
      { ...state, tenants: [{ ...tenant, network: { ...tenant.network, policy: { publish: [] } } }] },
      'tenants[0].network.policy',
    ],
    [
      'host bits in a network policy',
      {
        ...state,
        tenants: [{ ...tenant, network: { ...tenant.network, policy: { deny: [{ cidr: '10.0.0.1/8' }] } } }],
      },
      'tenants[0].network.policy.deny[0].cidr',
    ],
    [
      'a limit out of range in a pool',
      withPool({ network_policy: { limits: { bandwidth_kbit: 1 } } }),
      'tenants[0].pools[0].network_policy.limits.bandwidth_kbit',
    ],
    [
      'a host port that another tenant publishes',
      {
        ...state,
        tenants: [tenant, second].map((entry) => ({
          ...entry,
          pools: [
            { ...pool, network_policy: { publish: [{ protocol: 'tcp', host_port: 80, guest_port: 80 }] } },
          ],
        })),
      },
      'tenants[1].pools[0].network_policy.publish[0].host_port: tcp port 80 is published by acme/workers',
    ],
    ['a bad role', withPool({ role: 'master' }), 'role'],
    [
      'host bits',
      { ...state, tenants: [{ ...tenant, network: { tenant_net_id: 3, ipv4_subnet: '10.240.3.1/24' } }] },
      'tenants[0].network.ipv4_subnet',
    ],
    [
      'a net id out of range',
      { ...state, tenants: [{ ...tenant, network: { ...tenant.network, tenant_net_id: 4096 } }] },
      'tenants[0].network.tenant_net_id',
    ],
    [
      'a tenant twice',
      { ...state, tenants: [tenant, { ...second, tenant_id: 'acme' }] },
      'tenants[1].tenant_id',
    ],
    [
      'a net id twice',
      { ...state, tenants: [tenant, { ...second, network: { ...second.network, tenant_net_id: 3 } }] },
      'tenants[1].network.tenant_net_id',
    ],
    [
      'overlapping subnets',
      {
        ...state,
        tenants: [tenant, { ...second, network: { tenant_net_id: 4, ipv4_subnet: '10.240.0.0/16' } }],
      },
      'tenants[1].network.ipv4_subnet',
    ],
    [
      'an unknown field of a sleep policy',
      withPool({ sleep_policy: { idle_secs: 5 } }),
      'tenants[0].pools[0].sleep_policy',
    ],
    [
      'a pool twice',
      { ...state, tenants: [{ ...tenant, pools: [pool, pool] }] },
      'tenants[0].pools[1].pool_id',
    ],
  ])('refuses %s', (_name, value, path) => {
    const { message, reason } = problem(value);
    expect(reason).toBe('desired_state.invalid');
    expect(message).toContain(path);
  });

  it('shows nothing of a hostile document that a terminal would obey', () => {
    const { message } = problem({ ...state, [`\u001b[2J\n\u202e${'x'.repeat(100_000)}`]: 1 });
    expect(message).toMatch(/^[\x20-\x7e…]*$/);
    expect(message.length).toBeLessThan(1000);
  });

  it('lists the first problems and counts the rest', () => {
    const tenants = Array.from({ length: 20 }, () => ({ ...tenant, tenant_id: '' }));
    const { message, details } = problem({ ...state, tenants });
    expect(message).toMatch(/tenants\[0\]\.tenant_id: .*; and \d+ more$/);
    expect(details).toMatchObject({ path: 'tenants[0].tenant_id' });
  });
});
