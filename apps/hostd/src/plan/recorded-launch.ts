import { CodedError } from '@mvm/protocol';
import type { LaunchArgs } from '../state/launch.js';
import { addressOf } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';

/** How a running instance's VM was launched, out of its record. Throws `failed_precondition`, `instance.not_recorded`. */
export function recordedLaunch(instance: InstanceRecord): LaunchArgs {
  const { vm, running_with: running } = instance;
  if (vm == null || running == null) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'instance.not_recorded',
      message: `instance ${instance.instance_id} is ${instance.status}, but how its VM was launched is not recorded`,
      hint: 'Stop the instance and start it again.',
    });
  }
  const { spec } = vm;
  return {
    address: addressOf(instance),
    vmId: spec.vmId,
    image: { ...running.image, hasInitrd: spec.initrdPath !== null, kernelArgs: spec.kernelArgs },
    vcpus: spec.vcpus,
    memMib: spec.memMib,
    hasDataDisk: spec.drives.some(({ id }) => id === 'data'),
    ...(spec.drives.some(({ id }) => id === 'secrets') ? { hasSecretsDrive: true } : {}),
    mac: spec.net.mac,
    uid: spec.uid,
    accelerator: spec.accelerator,
  };
}
