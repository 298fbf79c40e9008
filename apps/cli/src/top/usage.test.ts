import type { InstanceActivity, InstanceView } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { usageBetween } from './usage.js';

const entry = (over: Partial<InstanceActivity> = {}): InstanceActivity => ({
  tenant_id: 'acme',
  pool_id: 'web',
  instance_id: 'i-1',
  status: 'running',
  pid: 7,
  cpu_usec: 1_000_000,
  rx_bytes: 100,
  rx_packets: 1,
  tx_bytes: 0,
  tx_packets: 0,
  memory_bytes: 5000,
  ...over,
});
const views = [
  { tenant_id: 'acme', pool_id: 'web', instance_id: 'i-1', resources: { mem_mib: 128 } },
] as unknown as InstanceView[];
const at = (monotonic_ms: number, ...activity: InstanceActivity[]) => ({ monotonic_ms, activity });

test('rates are what the counters grew by, per second', () => {
  const after = at(3000, entry({ cpu_usec: 2_500_000, rx_bytes: 2100 }));
  expect(usageBetween(at(1000, entry()), after, views, {})).toEqual([
    {
      tenant_id: 'acme',
      pool_id: 'web',
      instance_id: 'i-1',
      status: 'running',
      cpu_percent: 75,
      memory_bytes: 5000,
      guest_memory_bytes: 134_217_728,
      rx_bytes_per_second: 1000,
      tx_bytes_per_second: 0,
    },
  ]);
});

test.each([
  ['another VM', at(1000, entry({ pid: 8 })), entry()],
  ['a new instance', at(1000), entry()],
  ['no time between', at(3000, entry()), entry()],
  ['no counters', at(1000, entry({ cpu_usec: null, rx_bytes: null, tx_bytes: null })), entry()],
])('rates are not known with %s', (_, before, now) => {
  const [usage] = usageBetween(before, at(3000, now), views, {});
  expect(usage).toMatchObject({ cpu_percent: null, rx_bytes_per_second: null, memory_bytes: 5000 });
});

test('a scope leaves the others out', () => {
  const both = at(2000, entry(), entry({ tenant_id: 'globex' }), entry({ pool_id: 'db' }));
  const names = (scope: object) =>
    usageBetween(at(1000), both, views, scope).map(({ tenant_id, pool_id }) => `${tenant_id}/${pool_id}`);
  expect(names({})).toEqual(['acme/db', 'acme/web', 'globex/web']);
  expect(names({ tenantId: 'acme' })).toEqual(['acme/db', 'acme/web']);
  expect(names({ tenantId: 'acme', poolId: 'db' })).toEqual(['acme/db']);
});
