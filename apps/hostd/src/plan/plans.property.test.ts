import type { InstanceStatus } from '@mvm/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DIGEST, instanceRecord, NOW, poolRecord, tenantRecord } from '../../test/records.js';
import type { Plan, Step } from '../execute/step.js';
import type { InstanceRecord } from '../state/records.js';
import { planDestroy } from './plan-destroy.js';
import { planStart } from './plan-start.js';
import { planReap, planStop } from './plan-stop.js';

/** What a host has of one instance, as far as steps change it. */
interface ModelHost {
  record: InstanceStatus | null;
  vm: 'none' | 'paused' | 'running';
  vmRecorded: boolean;
  cgroup: boolean;
  port: boolean;
  sockets: boolean;
  volumes: 'kept' | 'wiped';
}

const clean = (record: InstanceStatus | null): ModelHost => ({
  record,
  vm: 'none',
  vmRecorded: false,
  cgroup: false,
  port: false,
  sockets: false,
  volumes: 'kept',
});

/** Steps on the model. Preconditions that the real host has are asserted, so that a wrong order fails. */
function execute(host: ModelHost, step: Step): void {
  switch (step.kind) {
    case 'runtime.create':
      host.sockets = true;
      break;
    case 'cgroup.create':
      host.cgroup = true;
      break;
    case 'port.attach':
      host.port = true;
      break;
    case 'vm.launch':
      expect([host.sockets, host.cgroup, host.port]).toEqual([true, true, true]);
      host.vm = 'paused';
      break;
    case 'vm.record':
      expect(host.vm).toBe('paused');
      host.vmRecorded = true;
      break;
    case 'vm.resume':
      expect(host.vmRecorded, 'a guest runs only after it is recorded').toBe(true);
      host.vm = 'running';
      break;
    case 'instance.commit_running':
      expect(host.vm).toBe('running');
      host.record = 'running';
      break;
    case 'vm.kill':
      host.vm = 'none';
      break;
    case 'instance.commit_stopped':
      expect(host.vm, 'stopped is recorded only once the VM is dead').toBe('none');
      host.record = 'stopped';
      host.vmRecorded = false;
      break;
    case 'port.detach':
      expect(host.vm).toBe('none');
      host.port = false;
      break;
    case 'cgroup.remove':
      expect(host.vm).toBe('none');
      host.cgroup = false;
      break;
    case 'runtime.remove':
      host.sockets = false;
      break;
    case 'volumes.wipe':
      expect(host.vm).toBe('none');
      host.volumes = 'wiped';
      break;
    case 'instance.remove':
      expect([host.vm, host.port, host.cgroup, host.sockets]).toEqual(['none', false, false, false]);
      host.record = null;
      host.vmRecorded = false;
      break;
    default:
      // Files that belong to the instance alone: nothing that could be leaked.
      break;
  }
}

function undo(host: ModelHost, step: Step): void {
  if (step.kind === 'runtime.create') host.sockets = false;
  if (step.kind === 'cgroup.create') host.cgroup = false;
  if (step.kind === 'port.attach') host.port = false;
  if (step.kind === 'vm.launch') host.vm = 'none';
  if (step.kind === 'vm.record') host.vmRecorded = false;
}

type Operation = 'start' | 'stop' | 'destroy' | 'reap';

function plan(operation: Operation, record: InstanceRecord): Plan {
  const end = { tenant: tenantRecord(), instance: record, vmUidBase: 1_900_000_000 };
  const reason = {
    kind: 'exited',
    message: '',
    exit_code: 1,
    signal: null,
    console_tail: '',
    at: NOW,
  } as const;
  switch (operation) {
    case 'stop':
      return planStop(end, { now: NOW });
    case 'destroy':
      return planDestroy(end, { wipeVolumes: true });
    case 'reap':
      return planReap(end, reason);
    case 'start':
      return planStart(
        {
          tenant: tenantRecord(),
          instance: record,
          resources: poolRecord().instance_resources,
          image: { name: 'demo', digest: DIGEST, hasInitrd: true, kernelArgs: '' },
          secretScopes: [],
          usage: { running: 0, vcpus: 0, memMib: 0 },
          vmUidBase: 1_900_000_000,
          accelerator: 'tcg',
          overheadMib: 512,
        },
        { now: NOW },
      );
  }
}

const running = (): ModelHost => ({
  ...clean('running'),
  vm: 'running',
  vmRecorded: true,
  cgroup: true,
  port: true,
  sockets: true,
});

/** What recovery does with a journal, as `settle-journal.ts` does it. */
function settle(host: ModelHost, journal: Plan): void {
  if (journal.onFailure === 'finish') for (const step of journal.steps) execute(host, step);
  else if (host.record !== 'running') for (const step of [...journal.steps].reverse()) undo(host, step);
}

const operations: Record<Operation, { from: () => ModelHost; complete: ModelHost }> = {
  start: { from: () => clean('stopped'), complete: running() },
  stop: { from: running, complete: clean('stopped') },
  reap: { from: () => ({ ...running(), vm: 'none' }), complete: clean('stopped') },
  destroy: { from: running, complete: { ...clean(null), volumes: 'wiped' } },
};

const anyOperation = fc.constantFrom<Operation>('start', 'stop', 'destroy', 'reap');

test('a crash after any prefix of any plan, also again while settling, converges', () => {
  fc.assert(
    fc.property(anyOperation, fc.nat(12), fc.array(fc.nat(12), { maxLength: 3 }), (operation, at, again) => {
      const { from, complete } = operations[operation];
      const host = from();
      const before = structuredClone(host);
      const journal = plan(operation, instanceRecord({ status: host.record ?? 'destroyed' }));
      for (const step of journal.steps.slice(0, at)) execute(host, step);
      // Settling is interrupted too; what it did must not hinder the next attempt.
      for (const cut of again) {
        if (journal.onFailure === 'finish')
          for (const step of journal.steps.slice(0, cut)) execute(host, step);
        else if (host.record !== 'running') {
          for (const step of [...journal.steps].reverse().slice(0, cut)) undo(host, step);
        }
      }
      settle(host, journal);
      const committed = journal.onFailure === 'finish' || host.record === 'running';
      expect(host).toEqual(committed ? complete : before);
    }),
    { numRuns: 2000 },
  );
});

test('any sequence of operations leaves a host that its record describes', () => {
  fc.assert(
    fc.property(fc.array(anyOperation, { maxLength: 12 }), (sequence) => {
      const host = clean('ready');
      for (const operation of sequence) {
        if (host.record === null) break;
        let journal: Plan;
        try {
          journal = plan(operation, instanceRecord({ status: host.record }));
        } catch (error) {
          expect(error).toMatchObject({ reason: 'instance.invalid_transition' });
          continue;
        }
        // A VM is reaped only where one ran.
        if (operation === 'reap' && host.record !== 'running') continue;
        for (const step of journal.steps) execute(host, step);
        const { record, volumes } = host;
        expect(host).toEqual({ ...(record === 'running' ? running() : clean(record)), volumes });
      }
    }),
    { numRuns: 2000 },
  );
});
