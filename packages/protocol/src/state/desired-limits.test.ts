import { describe, expect, it } from 'vitest';
import { findUnreachableCounts } from './desired-limits.js';
import { parseDesiredState } from './desired-state.js';

const QUOTAS = {
  max_vcpus: 8,
  max_mem_mib: 1024,
  max_running: 4,
  max_warm: 1,
  max_pools: 2,
  max_instances_per_pool: 5,
  max_disk_gib: 1,
};

function problems(counts: object, quotas: object = {}, pool: object = {}): string[] {
  const state = parseDesiredState({
    schema_version: 1,
    node_id: 'n',
    tenants: [
      {
        tenant_id: 'acme',
        network: { tenant_net_id: 3, ipv4_subnet: '10.240.3.0/24' },
        quotas: { ...QUOTAS, ...quotas },
        pools: [
          {
            pool_id: 'web',
            flake_ref: 'demo',
            instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 128 },
            desired_counts: { running: 0, warm: 0, sleeping: 0, ...counts },
            ...pool,
          },
        ],
      },
    ],
  });
  return findUnreachableCounts(state).map(({ path }) => path.join('.'));
}

describe('light 5: counts that their own quotas forbid', () => {
  it.each([
    ['max_running', { running: 5 }, {}],
    ['max_warm', { warm: 2 }, {}],
    ['max_vcpus', { running: 3 }, { max_vcpus: 2 }],
    ['max_mem_mib', { running: 3, warm: 1 }, { max_mem_mib: 511 }],
    ['max_disk_gib', { sleeping: 5 }, { max_disk_gib: 0 }],
    ['max_pools', { running: 0 }, { max_pools: 0 }],
  ])('name the quota %s', (quota, counts, quotas) => {
    expect(problems(counts, quotas)).toEqual([`tenants.0.quotas.${quota}`]);
  });

  it('name the pool that has more than it may', () => {
    expect(problems({ running: 3, sleeping: 3 })).toEqual(['tenants.0.pools.0.desired_counts']);
  });

  it('are none where the quotas are just enough', () => {
    expect(problems({ running: 3, warm: 1, sleeping: 1 })).toEqual([]);
  });
});
