import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  instanceRecordSchema,
  parseRecord,
  poolRecordSchema,
  renderRecord,
  tenantRecordSchema,
} from './records.js';

// What the structs of crate mvm-core 0.13.0 write, as JSON.
const TREE = new URL('../../testdata/mvm-core-0.13.0/tenants/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, TREE), 'utf8');

test('a tenant loads, with quotas beyond what JavaScript counts', () => {
  expect(parseRecord(tenantRecordSchema, 'a', read('acme/tenant.json'))).toMatchObject({
    tenant_id: 'acme',
    net: { ipv4_subnet: '10.240.3.0/24' },
    quotas: { max_mem_mib: 32_768 },
  });
  const globex = parseRecord(tenantRecordSchema, 'g', read('globex/tenant.json'));
  expect(globex.quotas.max_mem_mib).toBe(Number.MAX_SAFE_INTEGER);
});

test('a pool loads, with memory below the least and secrets by integration', () => {
  const pool = parseRecord(poolRecordSchema, 'p', read('acme/pools/workers/pool.json'));
  expect(pool).toMatchObject({
    role: 'capability-imessage',
    instance_resources: { vcpus: 1, mem_mib: 64, data_disk_mib: 0 },
    secret_scopes: ['BOT_TOKEN', 'SLACK'],
    metadata: { capability: 'imessage' },
    template_id: 'base',
  });
  const all = parseRecord(poolRecordSchema, 'p', read('globex/pools/api/pool.json'));
  expect(all.secret_scopes).toEqual(['*']);
});

test.each([
  ['i-00000001', 'stopped', '10.240.3.3'],
  ['i-00000002', 'sleeping', '10.240.3.4'],
  ['i-00000003', 'running', '10.240.3.5'],
])(
  'instance %s loads, whose cidr is a number, and stays the same when it is written',
  (id, status, guest_ip) => {
    const path = `acme/pools/workers/instances/${id}/instance.json`;
    const record = parseRecord(instanceRecordSchema, path, read(path));
    expect(record).toMatchObject({ status, net: { guest_ip, cidr: '10.240.3.0/24' } });
    expect(parseRecord(instanceRecordSchema, path, renderRecord(record))).toEqual(record);
  },
);

test.each([-1, 33, 24.5, null, {}])('a cidr of %j is damage', (cidr) => {
  const path = 'acme/pools/workers/instances/i-00000001/instance.json';
  const record = JSON.parse(read(path));
  const text = JSON.stringify({ ...record, net: { ...record.net, cidr } });
  expect(() => parseRecord(instanceRecordSchema, path, text)).toThrow(
    expect.objectContaining({ reason: 'state.damaged_record' }),
  );
});
