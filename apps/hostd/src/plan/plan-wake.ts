import type { InstanceResources } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import { cgroupLimits } from '../cgroup/limits.js';
import type { Plan } from '../execute/step.js';
import type { LaunchArgs, PlannedImage } from '../state/launch.js';
import { addressOf } from '../state/layout.js';
import type { InstanceRecord } from '../state/records.js';
import { checkRunningQuota, type RunningUsage, requireNetworkUp } from './admission.js';
import type { EndInput } from './plan-stop.js';
import { guestConfig, instancePort, plainNet } from './port.js';

export interface WakeInput extends EndInput {
  /** As the snapshot records it. */
  readonly launch: LaunchArgs;
  /** What the VMM takes beside the guest's memory. */
  readonly overheadMib: number;
  /** Its memory is mapped from the snapshot, and checked once the guest runs. */
  readonly mapsMemory?: boolean;
  /** Of the tenant's other instances. */
  readonly usage: RunningUsage;
  /** Of the pool, now: a guest that has a drive for secrets wakes to what they allow. */
  readonly secretScopes: readonly string[];
}

/**
 * Steps of a wake: all that can fail comes before the snapshot is used up, and until then a failure leaves the instance
 * sleeping; but memory that is mapped is checked only then, and when it is damaged the guest is ended. The same address, MAC, TAP and confinement as before. Pure. Throws `instance.invalid_transition`,
 * `tenant.network_down`, `quota.exceeded`.
 */
export function planWake(input: WakeInput, context: { readonly now: string }): Plan {
  const { tenant, instance, launch } = input;
  assertTransition(instance.status, 'wake');
  requireNetworkUp(tenant);
  const resources = wokenResources(instance, launch);
  checkRunningQuota(tenant, input.usage, resources);
  const address = addressOf(instance);
  const port = instancePort(instance, input.vmUidBase);
  const net = plainNet(tenant.net);
  const { vmId, image } = launch;
  const hasSecrets = launch.hasSecretsDrive === true;
  return {
    operation: 'wake',
    address,
    onFailure: 'commit',
    steps: [
      { kind: 'runtime.create', address, vmId },
      { kind: 'config_drive.build', address, config: guestConfig(tenant, instance, port) },
      ...(hasSecrets
        ? [{ kind: 'secrets_drive.build', address, vmId, scopes: [...input.secretScopes] } as const]
        : []),
      { kind: 'cgroup.create', name: vmId, limits: cgroupLimits(resources, input.overheadMib) },
      { kind: 'port.attach', net, port, keepFlows: true },
      // Its reading is done ahead, beside the steps before it; no VMM is launched before it has its turn.
      { kind: 'snapshot.verify', address },
      { kind: 'vm.restore', ...launch },
      { kind: 'vm.record', address, vmId },
      { kind: 'snapshot.consume', address },
      { kind: 'vm.resume', vmId },
      { kind: 'guest.wake', address, vmId },
      {
        kind: 'instance.commit_running',
        address,
        image: plainImage(image),
        resources,
        at: context.now,
        ...(hasSecrets ? { secretsEpoch: tenant.secrets_epoch ?? 0 } : {}),
      },
      ...(input.mapsMemory === true ? [{ kind: 'snapshot.check', address } as const] : []),
      { kind: 'snapshot.discard', address },
    ],
  };
}

/** What a woken instance uses: what it was put to sleep with. */
export function wokenResources(instance: InstanceRecord, launch: LaunchArgs): InstanceResources {
  return { vcpus: launch.vcpus, mem_mib: launch.memMib, data_disk_mib: instance.data_disk_mib ?? 0 };
}

function plainImage({ name, digest, hasInitrd, kernelArgs }: PlannedImage): PlannedImage {
  return { name, digest, hasInitrd, kernelArgs };
}
