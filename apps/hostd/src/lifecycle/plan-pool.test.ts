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
  poolCount: 0,
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
  expect(planPool(input({ known: save.record, poolCount: 1 })).steps).toMatchObject([
    { kind: 'image.activate' },
  ]);
});

test('a change keeps what the record has besides, and can be taken back', () => {
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
  const full = { poolCount: tenant.quotas.max_pools };
  expect(() => planPool(input(full))).toThrow(expect.objectContaining({ reason: 'quota.exceeded' }));
  expect(planPool(input({ ...full, known: poolRecord() })).steps).not.toEqual([]);
});

test('a pool with instances is kept', () => {
  expect(() => planRemovePool({ tenant_id, pool_id }, 2)).toThrow(
    expect.objectContaining({ reason: 'pool.has_instances' }),
  );
  expect(planRemovePool({ tenant_id, pool_id }, 0).steps).toEqual([
    { kind: 'pool.remove', pool: { tenant_id, pool_id } },
  ]);
});

test('only what was created without an image is made ready', () => {
  expect(planPrepare(instanceRecord({ status: 'created' })).steps).toMatchObject([
    { kind: 'instance.prepare' },
  ]);
  expect(() => planPrepare(instanceRecord({ status: 'stopped' }))).toThrow(
    expect.objectContaining({ reason: 'instance.invalid_transition' }),
  );
});
