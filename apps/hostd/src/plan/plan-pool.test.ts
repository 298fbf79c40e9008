import { expect, test } from 'vitest';
import { DIGEST, instanceRecord, poolRecord, tenantRecord } from '../../test/records.js';
import { type PoolInput, planPool, planPrepare, planRemovePool } from './plan-pool.js';

const image = { name: 'demo', digest: DIGEST };
const { tenant_id, pool_id, ...spec } = poolRecord();
const input = (over: Partial<PoolInput> = {}): PoolInput => ({
  tenant: tenantRecord(),
  pool: { tenant_id, pool_id },
  spec,
  known: undefined,
  pools: [],
  published: new Map(),
  host: { publishPorts: [{ first: 1024, last: 65_535 }], listening: new Set() },
  image,
  ...over,
});

test('a new pool is recorded with its image, which is then made ready', () => {
  const plan = planPool(input());
  expect(plan).toMatchObject({ operation: 'ensure_pool', onFailure: 'undo' });
  expect(plan.steps).toMatchObject([
    { kind: 'pool.save', before: null, record: { tenant_id, pool_id, image, critical: false } },
    { kind: 'image.activate', pool: { tenant_id, pool_id }, image },
  ]);
});

test('repeating it changes nothing but looks at the image again', () => {
  const [save] = planPool(input()).steps;
  if (save?.kind !== 'pool.save') throw new Error('a new pool is not recorded');
  expect(planPool(input({ known: save.record, pools: [save.record] })).steps).toMatchObject([
    { kind: 'image.activate' },
  ]);
});

test('a change keeps what the record has besides, and can be reverted', () => {
  const known = poolRecord({ pinned: true, later: { any: 1 } });
  const [save] = planPool(input({ known, spec: { ...spec, role: 'gateway' } })).steps;
  expect(save).toMatchObject({
    kind: 'pool.save',
    before: known,
    record: { pinned: true, later: { any: 1 }, role: 'gateway' },
  });
});

test('an image that is not registered is recorded as none', () => {
  expect(planPool(input({ image: null })).steps).toMatchObject([
    { kind: 'pool.save', record: { image: null } },
  ]);
});

test('one pool too many is refused, an old one is not', () => {
  const tenant = tenantRecord();
  const full = {
    pools: Array.from({ length: tenant.quotas.max_pools }, (_, i) => poolRecord({ pool_id: `p${i}` })),
  };
  expect(() => planPool(input(full))).toThrow(expect.objectContaining({ reason: 'quota.exceeded' }));
  expect(planPool(input({ ...full, known: poolRecord() })).steps).not.toEqual([]);
});

test('finding 13: a seccomp policy that nothing enforces is refused, not stored', () => {
  const strict = { ...spec, seccomp_policy: 'strict' } as const;
  expect(() => planPool(input({ spec: strict }))).toThrow(
    expect.objectContaining({ code: 'unimplemented', reason: 'pool.seccomp_not_enforced' }),
  );
  expect(() => planPool(input({ spec: strict, known: poolRecord() }))).toThrow('seccomp_policy strict');
});

test('one that a pool has from an older hostd stands', () => {
  const strict = { ...spec, seccomp_policy: 'strict' } as const;
  const known = poolRecord(strict);
  expect(() =>
    planPool(input({ spec: { ...strict, role: 'other' as never }, known, pools: [known] })),
  ).not.toThrow();
});

test('a pool with instances is kept', () => {
  const beside = { tenant: tenantRecord(), pools: [poolRecord()] };
  expect(() => planRemovePool({ tenant_id, pool_id }, 2, beside)).toThrow(
    expect.objectContaining({ reason: 'pool.has_instances' }),
  );
  expect(planRemovePool({ tenant_id, pool_id }, 0, beside).steps).toEqual([
    { kind: 'pool.remove', pool: { tenant_id, pool_id } },
  ]);
});

const publish = [{ protocol: 'tcp', host_port: 8443, guest_port: 443 } as const];
const { net } = tenantRecord();

test('another network policy is recorded and applied, with those of the tenant and of its other pools', () => {
  const tenant = tenantRecord({ policy: { egress: 'none' } });
  const other = poolRecord({ pool_id: 'api', network_policy: { egress: 'open' } });
  const known = poolRecord();
  const change = input({
    tenant,
    known,
    pools: [other, known],
    spec: { ...spec, network_policy: { publish } },
  });
  const before = { tenant: { egress: 'none' }, pools: { api: { egress: 'open' } } };
  const policies = { ...before, pools: { ...before.pools, workers: { publish } } };
  expect(planPool(change).steps.slice(-1)).toEqual([{ kind: 'network.ensure', net, policies, before }]);
  expect(planPool(change).onFailure).toBe('undo');
  const down = { ...change, tenant: { ...tenant, network_up: false } };
  expect(planPool(down).steps.map(({ kind }) => kind)).toEqual(['pool.save', 'image.activate']);
});

test('a policy that is not given any more is as by default', () => {
  const known = poolRecord({ network_policy: { publish } });
  const steps = planPool(input({ known, pools: [known] })).steps;
  expect(steps).toMatchObject([
    { kind: 'pool.save', before: known },
    { kind: 'image.activate' },
    { kind: 'network.ensure', policies: {}, before: { pools: { workers: { publish } } } },
  ]);
  expect(JSON.stringify(steps[0]?.kind === 'pool.save' && steps[0].record)).not.toContain('network_policy');
});

test.each([
  ['sshd', 22, [], 'permission_denied', 'net.port_not_allowed'],
  ['below the range', 1023, [], 'permission_denied', 'net.port_not_allowed'],
  ['a service of the host', 8443, ['tcp 8443'], 'already_exists', 'net.port_in_use'],
])('finding 14: %s is not published', (_what, host_port, listening, code, reason) => {
  const taken = {
    ...spec,
    network_policy: { publish: [{ protocol: 'tcp' as const, host_port, guest_port: 80 }] },
  };
  const host = { publishPorts: [{ first: 1024, last: 65_535 }], listening: new Set(listening) };
  expect(() => planPool(input({ spec: taken, host }))).toThrow(expect.objectContaining({ code, reason }));
  // One that stands already is not refused later.
  const known = poolRecord({ network_policy: taken.network_policy });
  expect(planPool(input({ spec: taken, host, known, pools: [known] })).steps).not.toEqual([]);
  // The other protocol, and a port that root allows.
  const udp = {
    ...spec,
    network_policy: { publish: [{ protocol: 'udp' as const, host_port, guest_port: 80 }] },
  };
  const open = {
    publishPorts: [
      { first: 22, last: 22 },
      { first: 1000, last: 9000 },
    ],
    listening: host.listening,
  };
  expect(planPool(input({ spec: udp, host: open })).steps).not.toEqual([]);
});

test('a policy that cannot be enforced, or a port that another pool publishes, is refused', () => {
  const bad = { ...spec, network_policy: { deny: [{ cidr: '10.0.0.1/8' }] } };
  expect(() => planPool(input({ spec: bad }))).toThrow(
    expect.objectContaining({ code: 'invalid_argument', reason: 'net.invalid_policy' }),
  );
  const published = new Map([['tcp 8443', 'globex/web']]);
  const taken = { ...spec, network_policy: { publish } };
  expect(() => planPool(input({ spec: taken, published }))).toThrow(
    expect.objectContaining({
      code: 'already_exists',
      reason: 'net.port_taken',
      message: expect.stringContaining('globex/web'),
    }),
  );
  expect(
    planPool(input({ spec: taken, published: new Map([['udp 8443', 'globex/web']]) })).steps,
  ).not.toEqual([]);
});

test('a pool takes its policy along', () => {
  const pool = poolRecord({ network_policy: { publish } });
  const plan = planRemovePool(pool, 0, { tenant: tenantRecord(), pools: [pool] });
  expect(plan).toMatchObject({
    onFailure: 'undo',
    steps: [
      { kind: 'network.ensure', policies: {}, before: { pools: { [pool.pool_id]: { publish } } } },
      { kind: 'pool.remove' },
    ],
  });
});

test('only what was created without an image is made ready', () => {
  expect(planPrepare(instanceRecord({ status: 'created' })).steps).toMatchObject([
    { kind: 'instance.prepare' },
  ]);
  expect(() => planPrepare(instanceRecord({ status: 'stopped' }))).toThrow(
    expect.objectContaining({ reason: 'instance.invalid_transition' }),
  );
});
