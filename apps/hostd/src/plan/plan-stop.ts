import type { GuestExit, StopReason } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import type { Plan, Step } from '../execute/step.js';
import { addressOf } from '../state/layout.js';
import type { InstanceRecord, TenantRecord } from '../state/records.js';
import { instancePort, plainNet } from './port.js';

export interface EndInput {
  readonly tenant: TenantRecord;
  readonly instance: InstanceRecord;
  readonly vmUidBase: number;
}

/**
 * What a VM leaves on the host once it is dead: its port, its cgroup, its sockets. Nothing when it never had a port.
 * `keepFlows`: it will have its address again, and the connections that it has.
 */
export function cleaningSteps(
  { tenant, instance, vmUidBase }: EndInput,
  { keepFlows = false }: { readonly keepFlows?: boolean } = {},
): Step[] {
  if (instance.net == null) return [];
  const port = instancePort(instance, vmUidBase);
  const net = plainNet(tenant.net);
  return [
    { kind: 'port.detach', net, port, ...(keepFlows ? { keepFlows } : {}) },
    { kind: 'cgroup.remove', name: port.tapName },
    { kind: 'runtime.remove', vmId: port.tapName },
  ];
}

/** Ends the VM of an instance; nothing when it never had a port. */
export function killStep(instance: InstanceRecord): Step[] {
  const vmId = instance.net?.tap_dev;
  return vmId === undefined ? [] : [{ kind: 'vm.kill', address: addressOf(instance), vmId }];
}

/** Steps of a stop: the VMM is killed, the stop recorded, the rest cleaned up. Pure. Throws `instance.invalid_transition`. */
export function planStop(
  input: EndInput,
  context: { readonly now: string; readonly guest?: GuestExit | undefined },
): Plan {
  assertTransition(input.instance.status, 'stop');
  const address = addressOf(input.instance);
  const reason: StopReason = {
    kind: 'requested',
    message: 'stopped by request',
    exit_code: null,
    signal: null,
    console_tail: '',
    at: context.now,
    ...(context.guest === undefined ? {} : { guest: context.guest }),
  };
  return {
    operation: 'stop',
    address,
    onFailure: 'finish',
    steps: [
      ...killStep(input.instance),
      { kind: 'instance.commit_stopped', address, at: context.now, reason },
      { kind: 'snapshot.discard', address },
      ...cleaningSteps(input),
    ],
  };
}

/**
 * Steps after a VM ended by itself, or was found gone. Pure. The process is still killed: what is left of it, or
 * what it has started, must not keep the port.
 */
export function planReap(input: EndInput, reason: StopReason): Plan {
  const address = addressOf(input.instance);
  return {
    operation: 'reap',
    address,
    onFailure: 'finish',
    steps: [
      ...killStep(input.instance),
      { kind: 'instance.commit_stopped', address, at: reason.at, reason },
      { kind: 'snapshot.discard', address },
      ...cleaningSteps(input),
    ],
  };
}
