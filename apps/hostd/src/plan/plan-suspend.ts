import { assertTransition, CodedError } from '@mvm/protocol';
import type { LaunchArgs, Plan, PlannedImage } from '../execute/step.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { addressOf, cleaningSteps, type EndInput } from './plan-end.js';
import {
  cgroupLimits,
  checkRunningQuota,
  checkWarmQuota,
  guestConfig,
  instancePort,
  type RunningUsage,
} from './plan-start.js';

/** How a running instance's VM was launched, out of its record. Throws `failed_precondition`, `instance.not_recorded`. */
function recordedLaunch(instance: InstanceRecord): LaunchArgs {
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

export interface WakeInput extends EndInput {
  /** As the snapshot records it. */
  readonly launch: LaunchArgs;
  /** Of the tenant's other instances. */
  readonly usage: RunningUsage;
  /** Of the pool, now: a guest that has a drive for secrets wakes to what they allow. */
  readonly secretScopes: readonly string[];
}

/**
 * Steps of a wake: all that can fail comes before the snapshot is used up, and until then a failure leaves the instance
 * sleeping. The same address, MAC, TAP and confinement as before. Pure. Throws `instance.invalid_transition`,
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
  const { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name } = tenant.net;
  const net = { tenant_net_id, ipv4_subnet, gateway_ip, bridge_name };
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
      { kind: 'cgroup.create', name: vmId, limits: cgroupLimits(resources, launch.accelerator) },
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
      { kind: 'snapshot.discard', address },
    ],
  };
}

export interface PauseInput {
  readonly tenant: TenantRecord;
  readonly instance: InstanceRecord;
  /** How many of the tenant's other instances are warm, or about to be. */
  readonly warm: number;
}

/**
 * Steps of pausing in memory, or of going on, of which the guest is told as after a sleep. Pure. Throws `instance.invalid_transition`, `quota.exceeded` for one warm
 * instance too many, `instance.not_recorded`.
 */
export function planPause(
  { tenant, instance, warm }: PauseInput,
  operation: 'warm' | 'resume',
  context: { readonly now: string },
): Plan {
  assertTransition(instance.status, operation);
  if (operation === 'warm') checkWarmQuota(tenant, warm);
  const address = addressOf(instance);
  const { vmId } = recordedLaunch(instance);
  const at = context.now;
  return {
    operation,
    address,
    onFailure: 'undo',
    steps:
      operation === 'warm'
        ? [
            { kind: 'vm.pause', vmId },
            { kind: 'instance.commit_warm', address, at },
          ]
        : [
            { kind: 'vm.resume', vmId },
            { kind: 'guest.wake', address, vmId },
            { kind: 'instance.commit_resumed', address, at },
          ],
  };
}

/** What a woken instance uses: what it was put to sleep with. */
export function wokenResources(
  instance: InstanceRecord,
  launch: LaunchArgs,
): { vcpus: number; mem_mib: number; data_disk_mib: number } {
  return { vcpus: launch.vcpus, mem_mib: launch.memMib, data_disk_mib: instance.data_disk_mib ?? 0 };
}

function plainImage({ name, digest, hasInitrd, kernelArgs }: PlannedImage): PlannedImage {
  return { name, digest, hasInitrd, kernelArgs };
}

function requireNetworkUp(tenant: TenantRecord): void {
  if (tenant.network_up !== false) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'tenant.network_down',
    message: `the network of tenant ${tenant.tenant_id} is not set up`,
    hint: 'Send SetupNetwork (or apply the desired state again) first.',
  });
}
