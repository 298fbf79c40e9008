import { expect, test } from 'vitest';
import { instanceRecord, NOW, poolRecord, tenantRecord } from '../../test/records.js';
import type { InstanceRecord } from '../state/records.js';
import { type CreateInput, planCreate } from './plan-create.js';
import { DEFAULT_QUOTAS } from './plan-tenant.js';

function create(over: Partial<CreateInput> = {}): InstanceRecord {
  const plan = planCreate(
    {
      tenant: tenantRecord(),
      pool: poolRecord(),
      instanceId: 'i-0000000f',
      instances: [],
      dataDiskMibOf: (instance) => instance.data_disk_mib ?? 0,
      ...over,
    },
    { now: NOW },
  );
  const [step] = plan.steps;
  if (step?.kind !== 'instance.create' || plan.steps.length !== 1) throw new Error('not one creation');
  return step.record;
}

const at = (offset: number, over: Partial<InstanceRecord> = {}): InstanceRecord => {
  const record = instanceRecord({ instance_id: `i-${offset}`, ...over });
  return { ...record, net: { ...record.net, tap_dev: `tn3i${offset}` } as InstanceRecord['net'] };
};

test('the first instance gets offset 3, and everything that follows from it', () => {
  expect(create()).toMatchObject({
    status: 'ready',
    created_at: NOW,
    net: {
      tap_dev: 'tn3i3',
      mac: '02:fc:00:03:00:03',
      guest_ip: '10.240.3.3',
      gateway_ip: '10.240.3.1',
      cidr: '10.240.3.0/24',
    },
  });
});

test('the lowest free offset is taken, over all pools of the tenant', () => {
  const instances = [at(3), at(5, { pool_id: 'other' })];
  expect(create({ instances }).net?.tap_dev).toBe('tn3i4');
  expect(create({ instances: [...instances, at(4)] }).net?.tap_dev).toBe('tn3i6');
});

test('addresses run out at 254, and earlier in a small subnet', () => {
  const instances = Array.from({ length: 252 }, (_, index) => at(index + 3, { pool_id: `p${index % 5}` }));
  expect(() => create({ instances })).toThrow(expect.objectContaining({ reason: 'net.addresses_exhausted' }));
  expect(create({ instances: instances.slice(0, -1) }).net?.guest_ip).toBe('10.240.3.254');
});

test('without an image the instance is created, not ready', () => {
  expect(create({ pool: poolRecord({ image: null }) }).status).toBe('created');
});

test('an id that exists in the pool is refused', () => {
  expect(() => create({ instances: [at(3, { instance_id: 'i-0000000f' })] })).toThrow(
    expect.objectContaining({ code: 'already_exists', reason: 'instance.exists' }),
  );
});

test.each([
  ['max_instances_per_pool', { max_instances_per_pool: 1 }],
  ['max_disk_gib', { max_disk_gib: 0 }],
])('%s is a limit', (quota, quotas) => {
  const tenant = tenantRecord({ quotas: { ...DEFAULT_QUOTAS, ...quotas } });
  expect(() => create({ tenant, instances: [at(3)] })).toThrow(
    expect.objectContaining({ reason: 'quota.exceeded', message: expect.stringContaining(quota) }),
  );
});
