import type { GuestProgram, InstanceResources } from '@mvm/protocol';
import { assertTransition } from '@mvm/protocol/state';
import { cgroupLimits } from '../cgroup/limits.js';
import type { Plan } from '../execute/step.js';
import type { PlannedImage } from '../state/launch.js';
import { addressOf } from '../state/layout.js';
import type { InstanceRecord, TenantRecord } from '../state/records.js';
import type { Accelerator } from '../vmm/vmm.js';
import { checkRunningQuota, type RunningUsage, requireNetworkUp } from './admission.js';
import { guestConfig, instancePort, plainNet } from './port.js';

export interface StartInput {
  readonly tenant: TenantRecord;
  readonly instance: InstanceRecord;
  /** The pool's present resources: what this start gives. */
  readonly resources: InstanceResources;
  readonly image: PlannedImage;
  /** Of the pool: which of the tenant's secrets the guest gets. Empty: none, and no drive for them. */
  readonly secretScopes: readonly string[];
  /** Of the pool: what the guest runs in place of what its image says; absent: nothing else. */
  readonly program?: GuestProgram | undefined;
  /** Without this instance. */
  readonly usage: RunningUsage;
  readonly vmUidBase: number;
  readonly accelerator: Accelerator;
  /** What the VMM takes beside the guest's memory. */
  readonly overheadMib: number;
}

/** Throws `instance.invalid_transition` when an instance cannot be started; one that is created is made ready on the way. */
export function assertStartable({ status }: Pick<InstanceRecord, 'status'>): void {
  assertTransition(status === 'created' ? assertTransition(status, 'prepare') : status, 'start');
}

/**
 * Steps of a fresh boot. Pure. Throws `instance.invalid_transition`, `instance.no_address`, `tenant.network_down` and
 * `quota.exceeded`. The VM is launched paused, recorded, and only then let run; the last step is the commit.
 */
export function planStart(input: StartInput, context: { readonly now: string }): Plan {
  const { tenant, instance, resources, image } = input;
  assertStartable(instance);
  requireNetworkUp(tenant);
  checkRunningQuota(tenant, input.usage, resources);
  const port = instancePort(instance, input.vmUidBase);
  const address = addressOf(instance);
  const { tenant_id, pool_id } = address;
  const vmId = port.tapName;
  const scopes = [...input.secretScopes];
  const hasSecrets = scopes.length > 0;
  const dataDiskMib = instance.data_disk_mib ?? resources.data_disk_mib;
  const net = plainNet(tenant.net);
  return {
    operation: 'start',
    address,
    onFailure: 'undo',
    steps: [
      {
        kind: 'image.activate',
        pool: { tenant_id, pool_id },
        image: { name: image.name, digest: image.digest },
      },
      ...(instance.status === 'created' ? [{ kind: 'instance.prepare', address } as const] : []),
      { kind: 'runtime.create', address, vmId },
      {
        kind: 'config_drive.build',
        address,
        config: guestConfig(tenant, instance, port),
        ...(input.program === undefined ? {} : { program: input.program }),
      },
      ...(hasSecrets ? [{ kind: 'secrets_drive.build', address, vmId, scopes } as const] : []),
      ...(dataDiskMib > 0 ? [{ kind: 'data_disk.ensure', address, sizeMib: dataDiskMib } as const] : []),
      {
        kind: 'cgroup.create',
        name: vmId,
        limits: cgroupLimits(resources, input.overheadMib),
      },
      { kind: 'port.attach', net, port },
      {
        kind: 'vm.launch',
        address,
        vmId,
        image,
        vcpus: resources.vcpus,
        memMib: resources.mem_mib,
        hasDataDisk: dataDiskMib > 0,
        ...(hasSecrets ? { hasSecretsDrive: true } : {}),
        mac: port.mac,
        uid: port.ownerUid,
        accelerator: input.accelerator,
      },
      { kind: 'vm.record', address, vmId },
      { kind: 'vm.resume', vmId },
      {
        kind: 'instance.commit_running',
        address,
        image,
        resources,
        at: context.now,
        ...(hasSecrets ? { secretsEpoch: tenant.secrets_epoch ?? 0 } : {}),
      },
    ],
  };
}
