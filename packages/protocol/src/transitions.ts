import { CodedError } from './errors.js';
import type { InstanceStatus } from './objects.js';

/** What may be done to an instance; `prepare` is hostd's own step once the pool has an image. */
export type InstanceOperation =
  | 'prepare'
  | 'start'
  | 'warm'
  | 'resume'
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
  sleep: { from: ['running', 'warm'], to: 'sleeping' },
  wake: { from: ['sleeping'], to: 'running' },
  stop: { from: ['running', 'warm', 'sleeping'], to: 'stopped' },
  destroy: {
    from: ['created', 'ready', 'running', 'warm', 'sleeping', 'stopped', 'destroyed'],
    to: 'destroyed',
  },
};

/**
 * The state in which `operation` ends when an instance is in state `from`; `failed_precondition`, reason
 * `instance.invalid_transition`, naming both states, when it is not allowed. Source: docs/protocol.md#states.
 */
export function assertTransition(from: InstanceStatus, operation: InstanceOperation): InstanceStatus {
  const transition = INSTANCE_TRANSITIONS[operation];
  if (transition.from.includes(from)) return transition.to;
  const fromAny = transition.from.join(', ');
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'instance.invalid_transition',
    message: `cannot ${operation} an instance that is ${from}: no transition from ${from} to ${transition.to}`,
    details: { operation, from, to: transition.to },
    hint: `${operation} works from: ${fromAny}. Look at the instance's state (mvm instance info) and act on that.`,
  });
}
