import { expect, test } from 'vitest';
import { createLayout } from './layout.js';

const layout = createLayout('/var/lib/mvm', '/run/mvm');
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-00000001' };

test('paths are those of the contract', () => {
  const instance = '/var/lib/mvm/tenants/acme/pools/workers/instances/i-00000001';
  expect(layout.instanceRecord(address)).toBe(`${instance}/instance.json`);
  expect(layout.dataDisk(address)).toBe(`${instance}/volumes/data.ext4`);
  expect(layout.consoleLog(address)).toBe(`${instance}/runtime/console.log`);
  expect(layout.auditLog('acme')).toBe('/var/lib/mvm/tenants/acme/audit.log');
  expect(layout.currentRevision(address)).toBe('/var/lib/mvm/tenants/acme/pools/workers/artifacts/current');
  expect(layout.vmSocketDir('tn3i5')).toBe('/run/mvm/vm/tn3i5');
});

test.each(['../x', 'a/b', '', 'A', '-a', 'a'.repeat(64), '.', 'a\0'])(
  'the id %j never becomes a path',
  (id) => {
    expect(() => layout.tenantDir(id)).toThrow('not validated');
    expect(() => layout.poolDir({ tenant_id: 'acme', pool_id: id })).toThrow('not validated');
    expect(() => layout.instanceDir({ ...address, instance_id: id })).toThrow('not validated');
  },
);

test('a digest or a VM id that is none never becomes a path', () => {
  expect(() => layout.revisionDir(address, 'sha256:../../x')).toThrow('not validated');
  expect(() => layout.vmSocketDir('../tn3i5')).toThrow('not a TAP name');
});
