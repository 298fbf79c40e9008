import { assertTransition } from '@mvm/protocol/state';
import type { Plan } from '../execute/step.js';
import { addressOf } from '../state/layout.js';
import type { PoolRecord } from '../state/records.js';
import { cleaningSteps, type EndInput } from './plan-stop.js';
import { recordedLaunch } from './recorded-launch.js';

/**
 * Steps of a sleep, after the drain: until the snapshot has its final name a failure lets the guest run on; from there
 * on the VM goes. Pure. Throws `instance.invalid_transition`, `instance.not_recorded`.
 */
export function planSleep(
  input: EndInput & { readonly compression: PoolRecord['snapshot_compression'] },
  context: { readonly now: string },
): Plan {
  const { instance, compression } = input;
  assertTransition(instance.status, 'sleep');
  const address = addressOf(instance);
  const launch = recordedLaunch(instance);
  const { vmId } = launch;
  const at = context.now;
  return {
    operation: 'sleep',
    address,
    onFailure: 'commit',
    steps: [
      // A warm VM is paused already, and stays so when the sleep fails.
      ...(instance.status === 'running' ? [{ kind: 'vm.pause', vmId } as const] : []),
      { kind: 'snapshot.write', address, vmId, at, compression, launch },
      { kind: 'snapshot.commit', address, at },
      { kind: 'vm.kill', address, vmId },
      { kind: 'instance.commit_sleeping', address, at },
      ...cleaningSteps(input, { keepFlows: true }),
    ],
  };
}
