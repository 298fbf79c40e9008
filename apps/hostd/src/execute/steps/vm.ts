import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { volumePassphrase } from '../../disk/encrypted-disk.js';
import type { LaunchArgs } from '../../state/launch.js';
import type { InstanceAddress } from '../../state/layout.js';
import type { StateStore } from '../../state/store.js';
import type { VmDrive, VmOrigin, VmSpec } from '../../vmm/vmm.js';
import { killVm, requireLive, setRunState } from '../live-vm.js';
import type { HostPorts } from '../ports.js';
import { NoEffect, nothing, type StepExecutor } from './executor.js';

/** The launch as the VMM driver takes it: every path out of the layout. */
export function vmSpecOf(args: LaunchArgs, { layout, store }: Pick<HostPorts, 'layout' | 'store'>): VmSpec {
  const { address, vmId, image } = args;
  const cipher = isEncrypted(address, store) ? ({ cipher: 'luks' } as const) : {};
  const revision = layout.revisionDir(address, image.digest);
  const drives: VmDrive[] = [
    { id: 'rootfs', path: join(revision, 'rootfs.ext4'), readOnly: true },
    { id: 'config', path: layout.configDrive(address), readOnly: true },
    ...(args.hasDataDisk ? [{ id: 'data', path: layout.dataDisk(address), readOnly: false, ...cipher }] : []),
    ...(args.hasSecretsDrive === true
      ? [{ id: 'secrets', path: layout.secretsDrive(vmId), readOnly: true }]
      : []),
  ];
  return {
    vmId,
    vcpus: args.vcpus,
    memMib: args.memMib,
    kernelPath: join(revision, 'vmlinux'),
    initrdPath: image.hasInitrd ? join(revision, 'initrd') : null,
    kernelArgs: image.kernelArgs,
    drives,
    net: { tapName: vmId, mac: args.mac },
    uid: args.uid,
    gid: args.uid,
    socketDir: layout.vmSocketDir(vmId),
    consolePath: layout.consoleLog(address),
    vmmLogPath: layout.vmmLog(address),
    accelerator: args.accelerator,
  };
}

function isEncrypted(address: InstanceAddress, store: StateStore): boolean {
  return store.instance(address)?.data_disk_cipher === 'luks';
}

/**
 * The passphrase of an instance's encrypted data volume. Throws `failed_precondition`: `disk.key_missing` without a key of
 * the tenant, `tenant.bad_key`.
 */
export async function requirePassphrase(
  address: InstanceAddress,
  { keys }: Pick<HostPorts, 'keys'>,
): Promise<string> {
  const key = await keys.find(address.tenant_id);
  if (key !== null) return volumePassphrase(key, address);
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'disk.key_missing',
    message: `the data volume of instance ${address.instance_id} is encrypted, and tenant ${address.tenant_id} has no key on this host`,
    hint: 'Put the key back that the tenant had when the instance was first started; the volume is untouched.',
  });
}

function cannotOpen({ instance_id }: InstanceAddress, vmm: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.no_encryption',
    message: `the data volume of instance ${instance_id} is encrypted, and ${vmm} opens no encrypted drive`,
    hint: 'Run the instance with a VMM that does: set vmm to "qemu".',
  });
}

/** What the VMM opens the encrypted data volume with, found to fit; null when the VM has none. */
export async function unlockDataDisk(
  args: LaunchArgs,
  ports: HostPorts,
  savedWith?: VmOrigin['vmm'],
): Promise<string | null> {
  const { address } = args;
  if (!args.hasDataDisk || !isEncrypted(address, ports.store)) return null;
  const passphrase = await requirePassphrase(address, ports);
  if (!(await ports.vmm.capabilities(savedWith)).opensEncryptedDrives)
    throw cannotOpen(address, savedWith ?? ports.vmm.name);
  await ports.disks.checkEncryptedDisk(ports.layout.dataDisk(address), passphrase);
  return passphrase;
}

export const vmLaunch: StepExecutor<'vm.launch'> = {
  execute: async (args, ports) => {
    const { vmm, cgroups, vms } = ports;
    const passphrase = await unlockDataDisk(args, ports);
    const handle = await vmm.launch(
      vmSpecOf(args, ports),
      (pid) => cgroups.attach(args.vmId, pid),
      passphrase,
    );
    vms.add({ address: args.address, handle, isAdopted: false });
  },
  undo: ({ vmId }, ports) => killVm(vmId, ports),
};

export const vmRecord: StepExecutor<'vm.record'> = {
  execute: async ({ address, vmId }, ports) => {
    const { record } = requireLive(vmId, ports);
    const instance = ports.store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being started');
    await ports.store.saveInstance({ ...instance, vm: record, firecracker_pid: record.pid });
  },
  undo: async ({ address }, { store }) => {
    const instance = store.instance(address);
    if (instance?.vm == null) return;
    await store.saveInstance({ ...instance, vm: null, firecracker_pid: null });
  },
};

export const vmResume: StepExecutor<'vm.resume'> = {
  execute: async ({ vmId }, ports) => {
    const resumed = await requireLive(vmId, ports).resume();
    if (resumed.outcome === 'refused') throw new NoEffect(resumed.error);
  },
  undo: ({ vmId }, ports) => setRunState(vmId, 'pause', ports),
};

export const vmKill: StepExecutor<'vm.kill'> = {
  execute: ({ vmId }, ports) => killVm(vmId, ports),
  undo: nothing,
};
