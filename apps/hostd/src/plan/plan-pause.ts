import { assertTransition } from '@mvm/protocol/state';
import type { Plan } from '../execute/step.js';
import { addressOf } from '../state/layout.js';
import type { InstanceRecord, TenantRecord } from '../state/records.js';
import { checkWarmQuota } from './admission.js';
import { recordedLaunch } from './recorded-launch.js';

export interface WarmInput {
  readonly tenant: TenantRecord;
  readonly instance: InstanceRecord;
  /** How many of the tenant's other instances are warm, or about to be. */
  readonly warmCount: number;
}

/**
 * Steps of pausing in memory. Pure. Throws `instance.invalid_transition`, `quota.exceeded` for one warm instance too many,
 * `instance.not_recorded`.
 */
export function planWarm(
  { tenant, instance, warmCount }: WarmInput,
  context: { readonly now: string },
): Plan {
  assertTransition(instance.status, 'warm');
  checkWarmQuota(tenant, warmCount);
  const address = addressOf(instance);
  const { vmId } = recordedLaunch(instance);
  return {
    operation: 'warm',
    address,
    onFailure: 'undo',
    steps: [
      { kind: 'vm.pause', vmId },
      { kind: 'instance.commit_warm', address, at: context.now },
    ],
  };
}

/**
 * Steps that resume after a pause; the guest is notified as after a sleep. Pure. Throws
 * `instance.invalid_transition`, `instance.not_recorded`.
 */
export function planResume(instance: InstanceRecord, context: { readonly now: string }): Plan {
  assertTransition(instance.status, 'resume');
  const address = addressOf(instance);
  const { vmId } = recordedLaunch(instance);
  return {
    operation: 'resume',
    address,
    onFailure: 'undo',
    steps: [
      { kind: 'vm.resume', vmId },
      { kind: 'guest.wake', address, vmId },
      { kind: 'instance.commit_resumed', address, at: context.now },
    ],
  };
}
