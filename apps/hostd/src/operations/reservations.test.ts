import { expect, test } from 'vitest';
import { instanceRecord, tenantRecord } from '../../test/records.js';
import { checkWarmQuota } from '../plan/admission.js';
import { DEFAULT_QUOTAS } from '../plan/plan-tenant.js';
import type { InstanceRecord } from '../state/records.js';
import type { StateStore } from '../state/store.js';
import { createReservations } from './reservations.js';

function reservationsOf(...instances: InstanceRecord[]): ReturnType<typeof createReservations> {
  const store: Pick<StateStore, 'instancesOfTenant'> = {
    instancesOfTenant: (tenantId) => instances.filter(({ tenant_id }) => tenant_id === tenantId),
  };
  return createReservations(store as StateStore);
}

test('an instance that is being paused counts as warm, once, and not for itself', () => {
  const one = instanceRecord({ instance_id: 'i-1', status: 'warm' });
  const two = instanceRecord({ instance_id: 'i-2', status: 'running' });
  const three = instanceRecord({ instance_id: 'i-3', status: 'running' });
  const reservations = reservationsOf(one, two, three);
  expect(reservations.warmCount('acme', three)).toBe(1);
  expect(reservations.warmCount('acme', one)).toBe(0);
  const release = reservations.reserveWarm(two);
  reservations.reserveWarm(one);
  expect(reservations.warmCount('acme', three)).toBe(2);
  expect(reservations.warmCount('globex', three)).toBe(0);
  release();
  expect(reservations.warmCount('acme', three)).toBe(1);
});

test('an instance that is rebooted counts once, with the larger of what it has and will have', () => {
  const running_with = { resources: { vcpus: 2, mem_mib: 256, data_disk_mib: 8 } } as never;
  const one = instanceRecord({ instance_id: 'i-1', status: 'running', running_with });
  const other = instanceRecord({ instance_id: 'i-2', status: 'stopped' });
  const reservations = reservationsOf(one, other);
  const release = reservations.reserveStart(one, { vcpus: 4, mem_mib: 128, data_disk_mib: 8 });
  expect(reservations.runningUsage('acme', other)).toEqual({ running: 1, vcpus: 4, memMib: 256 });
  release();
  expect(reservations.runningUsage('acme', other)).toEqual({ running: 1, vcpus: 2, memMib: 256 });
});

test('max_warm is the last that may be warm', () => {
  const tenant = tenantRecord({ quotas: { ...DEFAULT_QUOTAS, max_warm: 2 } });
  expect(() => checkWarmQuota(tenant, 1)).not.toThrow();
  expect(() => checkWarmQuota(tenant, 2)).toThrow(
    expect.objectContaining({
      reason: 'quota.exceeded',
      details: expect.objectContaining({ quota: 'max_warm' }),
    }),
  );
});
