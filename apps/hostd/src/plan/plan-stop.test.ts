import type { InstanceStatus } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { instanceRecord, NOW, tenantRecord } from '../../test/records.js';
import type { Plan } from '../execute/step.js';
import { planDestroy } from './plan-destroy.js';
import { type EndInput, planReap, planStop } from './plan-stop.js';

const input = (status: InstanceStatus): EndInput => ({
  tenant: tenantRecord(),
  instance: instanceRecord({ status }),
  vmUidBase: 1_900_000_000,
});
const kinds = (plan: Plan): string[] => plan.steps.map((step) => step.kind);

test('a stop kills first, records that, then cleans up', () => {
  const plan = planStop(input('running'), { now: NOW });
  expect(plan.onFailure).toBe('finish');
  expect(kinds(plan)).toEqual([
    'vm.kill',
    'instance.commit_stopped',
    'snapshot.discard',
    'port.detach',
    'cgroup.remove',
    'runtime.remove',
  ]);
});

test.each(['created', 'ready', 'stopped', 'destroyed'] as const)('%s cannot be stopped', (status) => {
  expect(() => planStop(input(status), { now: NOW })).toThrow(
    expect.objectContaining({
      reason: 'instance.invalid_transition',
      message: expect.stringContaining(status),
    }),
  );
});

test.each(['created', 'ready', 'running', 'warm', 'sleeping', 'stopped', 'destroyed'] as const)(
  '%s can be destroyed',
  (status) => {
    expect(kinds(planDestroy(input(status), { wipeVolumes: false }))).toEqual([
      'vm.kill',
      'port.detach',
      'cgroup.remove',
      'runtime.remove',
      'instance.remove',
    ]);
  },
);

test('volumes are overwritten after the VM is dead and before anything is unlinked', () => {
  const order = kinds(planDestroy(input('running'), { wipeVolumes: true }));
  expect(order.indexOf('volumes.wipe')).toBeGreaterThan(order.indexOf('vm.kill'));
  expect(order.at(-1)).toBe('instance.remove');
  expect(order.at(-2)).toBe('volumes.wipe');
});

test('a VM that ended by itself is recorded with its reason', () => {
  const reason = {
    kind: 'exited' as const,
    message: 'the VMM was killed by SIGKILL',
    exit_code: null,
    signal: 'SIGKILL',
    console_tail: 'panic',
    at: NOW,
  };
  expect(planReap(input('running'), reason).steps).toContainEqual({
    kind: 'instance.commit_stopped',
    address: { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-00000001' },
    at: NOW,
    reason,
  });
});

test('an instance that never had an address leaves nothing to clean', () => {
  const plan = planDestroy(
    { ...input('created'), instance: instanceRecord({ net: null }) },
    { wipeVolumes: false },
  );
  expect(kinds(plan)).toEqual(['instance.remove']);
});
