import { parseDesiredState } from '@mvm/protocol/state';
import { expect, it } from 'vitest';
import { parseCpus, parseMemory, parsePublish, parseRestart } from './run-options.js';
import { type RunSpec, withoutPool, withRunPool } from './run-pool.js';

const spec: RunSpec = {
  ...{ tenantId: 'acme', poolId: 'web', image: 'app', vcpus: 2, memMib: 512 },
  publish: [{ protocol: 'tcp', host_port: 8080, guest_port: 80 }],
  program: { command: ['serve'], env: { A: '1' }, user: 'app' },
  restart: { policy: 'on-failure', max_retries: 3 },
};

it('adds a pool to a tenant that it makes, each with a network of its own', () => {
  const one = withRunPool(null, spec);
  const two = withRunPool(one, { ...spec, tenantId: 'other', publish: [] });
  expect(parseDesiredState(two)).toEqual(two);
  expect(two.tenants.map(({ tenant_id, network }) => [tenant_id, network.ipv4_subnet])).toEqual([
    ['acme', '10.240.1.0/24'],
    ['other', '10.240.2.0/24'],
  ]);
  expect(two.tenants[0]?.pools[0]).toMatchObject({
    flake_ref: 'app',
    desired_counts: { running: 1 },
    network_policy: { publish: spec.publish },
    ...spec.program,
    restart: spec.restart,
  });
});

it('adds to a tenant that is there, refuses a name that is taken, and takes away only what it added', () => {
  const one = withRunPool(null, spec);
  expect(() => withRunPool(one, spec)).toThrow(/already/);
  const two = withRunPool(one, { ...spec, poolId: 'db', publish: [] });
  expect(two.tenants).toHaveLength(1);
  expect(withoutPool(two, { ...spec, poolId: 'db' })).toEqual(one);
});

it('reads sizes, counts, ports and restart policies', () => {
  expect(['no', 'always', 'on-failure', 'on-failure:3'].map(parseRestart)).toEqual([
    ...[{ policy: 'no' }, { policy: 'always' }, { policy: 'on-failure' }],
    { policy: 'on-failure', max_retries: 3 },
  ]);
  for (const wrong of ['never', 'always:3', 'on-failure:0', 'on-failure:'])
    expect(() => parseRestart(wrong)).toThrow();
  expect(['512m', '2g', '300', '1GiB'].map(parseMemory)).toEqual([512, 2048, 300, 1024]);
  expect(() => parseMemory('1t')).toThrow();
  expect(parseCpus('4')).toBe(4);
  expect(() => parseCpus('0')).toThrow();
  expect(parsePublish('53:5353/udp', undefined)).toEqual([
    { protocol: 'udp', host_port: 53, guest_port: 5353 },
  ]);
  for (const wrong of ['80', '0:1', '1:70000', '1:2/icmp'])
    expect(() => parsePublish(wrong, undefined)).toThrow();
});
