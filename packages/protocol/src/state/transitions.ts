import { CodedError } from '@mvm/errors';
import type { InstanceStatus } from '../objects.js';

/** What may be done to an instance; `prepare` is hostd's own step once the pool has an image. */
export type InstanceOperation =
  | 'prepare'
  | 'start'
  | 'warm'
  | 'resume'
  | 'reboot'
  | 'sleep'
  | 'wake'
  | 'stop'
  | 'destroy';

/** Every legal transition: operation → the states that it starts from, and the state that it ends in. */
export const INSTANCE_TRANSITIONS: Readonly<
  Record<InstanceOperation, { readonly from: readonly InstanceStatus[]; readonly to: InstanceStatus }>
> = {
  prepare: { from: ['created'], to: 'ready' },
  start: { from: ['ready', 'stopped'], to: 'running' },
  warm: { from: ['running'], to: 'warm' },
  resume: { from: ['warm'], to: 'running' },
  reboot: { from: ['running', 'warm'], to: 'running' },
  sleep: { from: ['running', 'warm'], to: 'sleeping' },
  wake: { from: ['sleeping'], to: 'running' },
  stop: { from: ['running', 'warm', 'sleeping'], to: 'stopped' },
  destroy: {
    from: ['created', 'ready', 'running', 'warm', 'sleeping', 'stopped', 'destroyed'],
    to: 'destroyed',
  },
};

/** Where an instance in this state stands, and what leads on; for hints. */
const NEXT_STEPS: Readonly<Record<InstanceStatus, string>> = {
  created: 'The image of its pool is not registered on this host yet: mvm image list, mvm image add.',
  ready: 'It was not started yet: mvm instance start.',
  running: 'It runs.',
  warm: 'Its vCPUs are stopped and its memory is kept: mvm instance resume.',
  sleeping: 'It sleeps: mvm instance wake. Or give its memory up: mvm instance stop.',
  stopped: 'It is stopped: mvm instance start.',
  destroyed: 'It is gone: mvm instance list shows what there is.',
};

function hintFor(from: InstanceStatus, operation: InstanceOperation, to: InstanceStatus): string {
  if (from === to) return `It is ${from} already: there is nothing to do.`;
  if (operation === 'stop' && from !== 'destroyed') return 'It does not run: there is nothing to stop.';
  return NEXT_STEPS[from];
}

/**
 * The state in which `operation` ends when an instance is in state `from`; `failed_precondition`, reason
 * `instance.invalid_transition`, naming both states, when it is not allowed. Source: docs/protocol.md#states.
 */
export function assertTransition(from: InstanceStatus, operation: InstanceOperation): InstanceStatus {
  const { from: allowed, to } = INSTANCE_TRANSITIONS[operation];
  if (allowed.includes(from)) return to;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'instance.invalid_transition',
    message: `cannot ${operation} an instance that is ${from}: no transition from ${from} to ${to}`,
    details: { operation, from, to },
    hint: hintFor(from, operation, to),
  });
}
