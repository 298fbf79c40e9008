import { join } from 'node:path';
import type { InstanceAddress } from '../../state/layout.js';
import type { VmDrive, VmHandle, VmSpec } from '../../vmm/vmm.js';
import type { Effects } from '../effects.js';
import type { LaunchArgs } from '../steps.js';
import { nothing, type StepExecutor } from './executor.js';

/** The launch as the VMM driver takes it: every path out of the layout. */
export function vmSpecOf(args: LaunchArgs, { layout }: Pick<Effects, 'layout'>): VmSpec {
  const { address, vmId, image } = args;
  const revision = layout.revisionDir(address, image.digest);
  const drives: VmDrive[] = [
    { id: 'rootfs', path: join(revision, 'rootfs.ext4'), readOnly: true },
    { id: 'config', path: layout.configDrive(address), readOnly: true },
    ...(args.hasDataDisk ? [{ id: 'data', path: layout.dataDisk(address), readOnly: false }] : []),
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

/** Watch a launched or adopted VM, and keep its logs below their limit. */
export function watchVm(address: InstanceAddress, handle: VmHandle, effects: Effects): void {
  const { layout, logs, vms } = effects;
  vms.add({ address, handle }, [logs.keep(layout.consoleLog(address)), logs.keep(layout.vmmLog(address))]);
}

/** End the VM, however it is known: by its handle, its cgroup, or the socket directory in its arguments. */
export async function killVm(vmId: string, { vms, cgroups, processes }: Effects): Promise<void> {
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

/** The handle of a VM that is watched; its absence is a bug, or the VM's end just now. */
export function requireLive(vmId: string, { vms }: Effects): VmHandle {
  const live = vms.get(vmId);
  if (live === undefined) throw new Error(`VM ${vmId} is not launched`);
  return live.handle;
}

export const vmLaunch: StepExecutor<'vm.launch'> = {
  execute: async (args, effects) => {
    const { vmm, cgroups } = effects;
    const handle = await vmm.launch(vmSpecOf(args, effects), (pid) => cgroups.attach(args.vmId, pid));
    watchVm(args.address, handle, effects);
  },
  undo: ({ vmId }, effects) => killVm(vmId, effects),
};

export const vmRecord: StepExecutor<'vm.record'> = {
  execute: async ({ address, vmId }, effects) => {
    const { record } = requireLive(vmId, effects);
    const instance = effects.store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being started');
    await effects.store.saveInstance({ ...instance, vm: record, firecracker_pid: record.pid });
  },
  undo: async ({ address }, { store }) => {
    const instance = store.instance(address);
    if (instance?.vm == null) return;
    await store.saveInstance({ ...instance, vm: null, firecracker_pid: null });
  },
};

export const vmResume: StepExecutor<'vm.resume'> = {
  execute: ({ vmId }, effects) => requireLive(vmId, effects).resume(),
  undo: async ({ vmId }, { vms }) => vms.get(vmId)?.handle.pause(),
};

export const vmKill: StepExecutor<'vm.kill'> = {
  execute: ({ vmId }, effects) => killVm(vmId, effects),
  undo: nothing,
};
