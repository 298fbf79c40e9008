import { expect, test } from 'vitest';
import { DIGEST, instanceRecord, NOW, poolRecord, tenantRecord } from '../../test/records.js';
import { planStart, type StartInput } from './plan-start.js';

function input(over: Partial<StartInput> = {}): StartInput {
  return {
    tenant: tenantRecord(),
    instance: instanceRecord(),
    resources: poolRecord().instance_resources,
    image: { name: 'demo', digest: DIGEST, hasInitrd: true, kernelArgs: 'console=ttyS0' },
    secretScopes: [],
    usage: { running: 0, vcpus: 0, memMib: 0 },
    vmUidBase: 1_900_000_000,
    accelerator: 'tcg',
    overheadMib: 512,
    ...over,
  };
}

const kinds = (over: Partial<StartInput> = {}): string[] =>
  planStart(input(over), { now: NOW }).steps.map((step) => step.kind);

test('a ready instance is launched paused, recorded, resumed, and committed last', () => {
  expect(kinds()).toEqual([
    'image.activate',
    'runtime.create',
    'config_drive.build',
    'data_disk.ensure',
    'cgroup.create',
    'port.attach',
    'vm.launch',
    'vm.record',
    'vm.resume',
    'instance.commit_running',
  ]);
});

test('a stopped instance starts the same way', () => {
  expect(kinds({ instance: instanceRecord({ status: 'stopped' }) })).toEqual(kinds());
});

test('an instance older than its pool’s image is made ready on the way', () => {
  const [first, ...rest] = kinds();
  expect(kinds({ instance: instanceRecord({ status: 'created' }) })).toEqual([
    first,
    'instance.prepare',
    ...rest,
  ]);
});

test('without a data volume there is no step for it', () => {
  const without = instanceRecord({ data_disk_mib: 0 });
  expect(kinds({ instance: without })).not.toContain('data_disk.ensure');
});

test('a pool with secret scopes gives its guest a drive, and no step holds a value', () => {
  const plan = planStart(input({ secretScopes: ['db.*', 'token'] }), { now: NOW });
  expect(plan.steps.map(({ kind }) => kind).slice(0, 5)).toEqual([
    'image.activate',
    'runtime.create',
    'config_drive.build',
    'secrets_drive.build',
    'data_disk.ensure',
  ]);
  expect(plan.steps[3]).toEqual({
    kind: 'secrets_drive.build',
    address: expect.any(Object),
    vmId: 'tn3i3',
    scopes: ['db.*', 'token'],
  });
  expect(plan.steps.find(({ kind }) => kind === 'vm.launch')).toMatchObject({ hasSecretsDrive: true });
  expect(plan.steps.at(-1)).toMatchObject({ secretsEpoch: 0 });
});

test('the data volume keeps the size that the instance was created with', () => {
  const resources = { ...poolRecord().instance_resources, data_disk_mib: 4096 };
  const plan = planStart(input({ resources }), { now: NOW });
  expect(plan.steps).toContainEqual(expect.objectContaining({ kind: 'data_disk.ensure', sizeMib: 64 }));
});

test('the VMM gets its own uid, the recorded TAP and MAC, and limits above what the guest has', () => {
  const plan = planStart(input(), { now: NOW });
  expect(plan).toMatchObject({ operation: 'start', onFailure: 'undo' });
  expect(plan.steps).toContainEqual(
    expect.objectContaining({
      kind: 'vm.launch',
      vmId: 'tn3i3',
      mac: '02:fc:00:03:00:03',
      uid: 1_900_000_000 + 3 * 256 + 3,
      vcpus: 2,
      memMib: 256,
    }),
  );
  const cgroup = plan.steps.find((step) => step.kind === 'cgroup.create');
  expect(cgroup?.limits.memoryMaxBytes).toBeGreaterThan(256 * 1_048_576);
  expect(cgroup?.limits.cpuMaxPercent).toBe(200);
});

test('the guest is told its address, prefix and gateway', () => {
  const plan = planStart(input(), { now: NOW });
  const drive = plan.steps.find((step) => step.kind === 'config_drive.build');
  expect(drive?.config).toMatchObject({
    tenant_id: 'acme',
    hostname: 'i-00000001',
    net: { address: '10.240.3.3/24', gateway: '10.240.3.1', mac: '02:fc:00:03:00:03' },
  });
});

test('a plan is plain data: it survives JSON unchanged', () => {
  const plan = planStart(input(), { now: NOW });
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
});

test.each(['running', 'warm', 'sleeping', 'destroyed'] as const)('%s cannot be started', (status) => {
  expect(() => kinds({ instance: instanceRecord({ status }) })).toThrow(
    expect.objectContaining({
      code: 'failed_precondition',
      reason: 'instance.invalid_transition',
      message: expect.stringContaining(status),
    }),
  );
});

test.each([
  ['max_running', { running: 64, vcpus: 0, memMib: 0 }],
  ['max_vcpus', { running: 0, vcpus: 63, memMib: 0 }],
  ['max_mem_mib', { running: 0, vcpus: 0, memMib: 131_000 }],
])('%s is a limit', (quota, usage) => {
  expect(() => kinds({ usage })).toThrow(
    expect.objectContaining({
      code: 'resource_exhausted',
      reason: 'quota.exceeded',
      message: expect.stringContaining(quota),
    }),
  );
});

test('up to the quota is allowed', () => {
  expect(kinds({ usage: { running: 63, vcpus: 62, memMib: 131_072 - 256 } })).toEqual(kinds());
});

test('an instance on a network that is down, or without an address, is refused', () => {
  expect(() => kinds({ tenant: tenantRecord({ network_up: false }) })).toThrow(
    expect.objectContaining({ reason: 'tenant.network_down' }),
  );
  expect(() => kinds({ instance: instanceRecord({ net: null }) })).toThrow(
    expect.objectContaining({ reason: 'instance.no_address' }),
  );
});
