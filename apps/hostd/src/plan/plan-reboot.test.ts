import type { InstanceStatus } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { instanceRecord, NOW, tenantRecord } from '../../test/records.js';
import { planReboot } from './plan-reboot.js';
import { planStart, type StartInput } from './plan-start.js';

const input = (status: InstanceStatus): StartInput => ({
  tenant: tenantRecord(),
  instance: instanceRecord({ status }),
  resources: { vcpus: 1, mem_mib: 256, data_disk_mib: 8 },
  image: { name: 'demo', digest: `sha256:${'a'.repeat(64)}`, hasInitrd: true, kernelArgs: '' },
  secretScopes: [],
  usage: { running: 0, vcpus: 0, memMib: 0 },
  vmUidBase: 1_900_000_000,
  accelerator: 'tcg',
  overheadMib: 512,
});

test.each(['running', 'warm'] as const)('a %s instance ends, then boots as a stopped one does', (status) => {
  const plan = planReboot(input(status), { now: NOW });
  const start = planStart(input('stopped'), { now: NOW });
  expect(plan).toMatchObject({ operation: 'reboot', onFailure: 'finish', address: start.address });
  expect(plan.steps.map(({ kind }) => kind)).toEqual([
    'image.activate',
    'vm.kill',
    'port.detach',
    'cgroup.remove',
    'runtime.remove',
    ...start.steps.slice(1).map(({ kind }) => kind),
  ]);
  expect(plan.steps.at(-1)).toEqual(start.steps.at(-1));
  // Address, disks and identity of the VM are those that it had.
  for (const kind of ['port.attach', 'data_disk.ensure', 'vm.launch'] as const) {
    const found = (steps: typeof plan.steps) => steps.find((step) => step.kind === kind);
    expect(found(plan.steps)).toEqual(found(start.steps));
  }
});

test.each(['created', 'ready', 'sleeping', 'stopped', 'destroyed'] as const)(
  '%s cannot be rebooted',
  (status) => {
    expect(() => planReboot(input(status), { now: NOW })).toThrow(
      expect.objectContaining({ reason: 'instance.invalid_transition' }),
    );
  },
);

test('what a start is refused for, a reboot is refused for', () => {
  const down = { ...input('running'), tenant: { ...tenantRecord(), network_up: false } };
  expect(() => planReboot(down, { now: NOW })).toThrow(
    expect.objectContaining({ reason: 'tenant.network_down' }),
  );
  const full = { ...input('running'), usage: { running: 1000, vcpus: 0, memMib: 0 } };
  expect(() => planReboot(full, { now: NOW })).toThrow(expect.objectContaining({ reason: 'quota.exceeded' }));
});
