import type { NetworkException, NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import fc from 'fast-check';
import type { TenantPolicies } from '../../src/index.js';

const exception: fc.Arbitrary<NetworkException> = fc
  .tuple(
    fc.constantFrom(
      '203.0.113.0/24',
      '203.0.113.5/32',
      '10.99.0.0/16',
      '10.0.0.0/8',
      '0.0.0.0/0',
      '169.254.169.254/32',
      '192.168.0.0/16',
      // What no policy opens.
      '10.240.0.0/12',
      '172.17.0.0/16',
      '198.51.100.1/32',
    ),
    fc.constantFrom<Omit<NetworkException, 'cidr'>>(
      {},
      {},
      { protocol: 'icmp' },
      { protocol: 'tcp' },
      { protocol: 'udp' },
      { protocol: 'tcp', first_port: 80 },
      { protocol: 'tcp', first_port: 81, last_port: 500 },
      { protocol: 'tcp', first_port: 70, last_port: 81 },
      { protocol: 'udp', first_port: 50, last_port: 60 },
    ),
  )
  .map(([cidr, rest]) => ({ cidr, ...rest }));

const policy: fc.Arbitrary<NetworkPolicy> = fc.record(
  {
    egress: fc.constantFrom('none', 'internet', 'open'),
    allow: fc.array(exception, { maxLength: 3 }),
    deny: fc.array(exception, { maxLength: 2 }),
    isolate_instances: fc.boolean(),
    // Far above what is sent, so that only the rules' being there matters.
    limits: fc.constantFrom(
      {},
      { connections: 100_000 },
      { bandwidth_kbit: 1_000_000, packets_per_second: 100_000 },
    ),
  },
  { requiredKeys: [] },
);

function poolPolicy(hostPort: number, ids: readonly string[]): fc.Arbitrary<PoolNetworkPolicy> {
  const publish = fc.record(
    {
      protocol: fc.constant('tcp' as const),
      host_port: fc.constantFrom(hostPort, hostPort + 1),
      guest_port: fc.constantFrom(80, 81),
      instance_id: fc.constantFrom(...ids),
    },
    { requiredKeys: ['protocol', 'host_port', 'guest_port'] },
  );
  const ports = fc.uniqueArray(publish, { selector: ({ host_port }) => host_port, maxLength: 2 });
  return fc
    .tuple(policy, ports)
    .map(([fields, list]) => ({ ...fields, ...(list.length > 0 ? { publish: list } : {}) }));
}

/** Policies of a tenant with the pools `web` (i-3, i-4) and `db` (i-5); the same for the same seed. */
export function samplePolicies(count: number, seed: number): TenantPolicies[] {
  const pools = fc.record(
    { web: poolPolicy(8000, ['i-3', 'i-4', 'i-99']), db: poolPolicy(9000, ['i-5']) },
    { requiredKeys: [] },
  );
  return fc.sample(fc.record({ tenant: policy, pools }, { requiredKeys: [] }), { numRuns: count, seed });
}
