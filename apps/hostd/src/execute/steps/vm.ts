import { join } from 'node:path';
import { CodedError, isCodedError } from '@mvm/protocol';
import { volumePassphrase } from '../../disk/encrypted-disk.js';
import { cgroupLimits } from '../../plan/plan-start.js';
import type { InstanceAddress } from '../../state/layout.js';
import type { StateStore } from '../../state/store.js';
import { isAlive } from '../../vmm/process/process-identity.js';
import type { VmDrive, VmHandle, VmRecord, VmSpec } from '../../vmm/vmm.js';
import type { HostPorts } from '../ports.js';
import type { LaunchArgs } from '../step.js';
import { nothing, type StepExecutor } from './executor.js';

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
    emptyRootPath: layout.vmEmptyRoot(vmId),
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

/** What the VMM opens the encrypted data volume with, found to fit; null when the VM has none. */
export async function unlockDataDisk(args: LaunchArgs, ports: HostPorts): Promise<string | null> {
  const { address } = args;
  if (!args.hasDataDisk || !isEncrypted(address, ports.store)) return null;
  const passphrase = await requirePassphrase(address, ports);
  await ports.disks.checkEncryptedDisk(ports.layout.dataDisk(address), passphrase);
  return passphrase;
}

/** Watch a launched or adopted VM, and keep its logs below their limit. */
export function watchVm(address: InstanceAddress, handle: VmHandle, ports: HostPorts): void {
  const { layout, logs, vms } = ports;
  vms.add({ address, handle }, [logs.keep(layout.consoleLog(address)), logs.keep(layout.vmmLog(address))]);
}

/**
 * The VM of a record, found again and watched; null when it is gone. It is put into its cgroup once more: somebody may
 * have moved it out, or removed the cgroup, and a VM without limits must not go on.
 */
export async function adoptVm(
  address: InstanceAddress,
  record: VmRecord,
  ports: HostPorts,
): Promise<VmHandle | null> {
  const handle = await ports.vmm.adopt(record);
  if (handle === null) return null;
  const { vmId, vcpus, memMib, accelerator } = record.spec;
  try {
    await ports.cgroups.create(vmId, cgroupLimits({ vcpus, mem_mib: memMib }, accelerator));
    await ports.cgroups.attach(vmId, record.pid);
  } catch (error) {
    handle.release();
    // A process that has just ended is in no cgroup any more.
    if (!(await isAlive(record))) return null;
    throw error;
  }
  watchVm(address, handle, ports);
  return handle;
}

/** End the VM, however it is known: by its handle, its cgroup, or the socket directory in its arguments. */
export async function killVm(vmId: string, { vms, cgroups, processes }: HostPorts): Promise<void> {
  const live = vms.get(vmId);
  if (live === undefined) {
    await cgroups.kill(vmId);
    await processes.kill(vmId);
    return;
  }
  await live.handle.kill();
  await cgroups.kill(vmId);
  vms.remove(vmId);
}

/**
 * Let a VM run, or stop it, to take a step back. Nothing when it is not known yet, after a crash: it is brought into its
 * recorded state when it is adopted; nor when it has ended: then it neither runs nor waits, and its end is reaped.
 */
export async function takeBack(
  vmId: string,
  what: 'resume' | 'pause',
  { vms }: Pick<HostPorts, 'vms'>,
): Promise<void> {
  try {
    await vms.get(vmId)?.handle[what]();
  } catch (error) {
    if (!isCodedError(error) || error.reason !== 'vmm.gone') throw error;
  }
}

/** The handle of a VM that is watched; its absence is a bug, or the VM's end just now. */
export function requireLive(vmId: string, { vms }: HostPorts): VmHandle {
  const live = vms.get(vmId);
  if (live === undefined) throw new Error(`VM ${vmId} is not launched`);
  return live.handle;
}

export const vmLaunch: StepExecutor<'vm.launch'> = {
  execute: async (args, ports) => {
    const { vmm, cgroups } = ports;
    const passphrase = await unlockDataDisk(args, ports);
    const handle = await vmm.launch(
      vmSpecOf(args, ports),
      (pid) => cgroups.attach(args.vmId, pid),
      passphrase,
    );
    watchVm(args.address, handle, ports);
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
  execute: ({ vmId }, ports) => requireLive(vmId, ports).resume(),
  undo: ({ vmId }, ports) => takeBack(vmId, 'pause', ports),
};

export const vmKill: StepExecutor<'vm.kill'> = {
  execute: ({ vmId }, ports) => killVm(vmId, ports),
  undo: nothing,
};
