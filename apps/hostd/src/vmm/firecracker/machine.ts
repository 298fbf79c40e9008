/** A VM as Firecracker's API is told of it. Pure. */
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import type { VmDrive, VmSpec } from '../vmm.js';
import type { ApiRequest } from './api.js';

/** Names inside the jail. */
export const JAIL = {
  kernel: '/kernel',
  initrd: '/initrd',
  drive: (id: string): string => `/drive-${id}`,
  /** A file system in memory, for a guest's memory on its way to and from hostd. */
  stateDir: '/state',
  vmstate: '/state/vmstate',
  memory: '/state/memory',
  loadedVmstate: '/state/load-vmstate',
  loadedMemory: '/state/load-memory',
} as const;

/** The parts of a saved VM, in order. */
export const VMSTATE_PART = 'vmstate';
export const MEMORY_PART = 'memory';
export const SAVED_PARTS: readonly string[] = [VMSTATE_PART, MEMORY_PART];

/** The guest's end of the only vsock device; each VM has a host of its own to talk to, so all may have the same. */
const GUEST_CID = 3;

/**
 * Sockets have the same path inside the jail as their VM's directory has outside: the arguments of a Firecracker tell
 * whose it is.
 */
export function apiSocketPath({ socketDir }: Pick<VmSpec, 'socketDir'>): string {
  return join(socketDir, 'api.sock');
}

/** The host's end of the guest's vsock device. */
export function vsockPath({ socketDir }: Pick<VmSpec, 'socketDir'>): string {
  return join(socketDir, 'vsock.sock');
}

/** What a snapshot holds of a VM's devices, and a restored one must have again. */
export function devicesOf(spec: VmSpec): readonly ApiRequest[] {
  const { net, vcpus, memMib } = spec;
  return [
    put('/machine-config', { vcpu_count: vcpus, mem_size_mib: memMib, smt: false, track_dirty_pages: false }),
    ...spec.drives.map(drive),
    put('/network-interfaces/eth0', { iface_id: 'eth0', host_dev_name: net.tapName, guest_mac: net.mac }),
    put('/vsock', { guest_cid: GUEST_CID, uds_path: vsockPath(spec) }),
    put('/entropy', {}),
  ];
}

/** All that is asked before the guest is started. */
export function configurationOf(spec: VmSpec): readonly ApiRequest[] {
  return [bootSource(spec), ...devicesOf(spec)];
}

/** Throws `failed_precondition`, `vmm.devices_changed`, unless the saved VM's devices are those of `spec`. */
export function requireSameDevices(spec: VmSpec, saved: unknown): void {
  const expected = devicesOf(spec);
  const before = Array.isArray(saved) ? (saved as unknown[]) : [];
  const at = expected.findIndex((device, index) => JSON.stringify(device) !== JSON.stringify(before[index]));
  if (at < 0 && before.length === expected.length) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.devices_changed',
    message: `the VM ${spec.vmId} was saved with other devices than it would get now: ${JSON.stringify(before[at] ?? null)}`,
    hint: 'Give hostd the directories and names back that it had, or stop the instance, which discards its snapshot.',
    details: { vm_id: spec.vmId },
  });
}

function bootSource(spec: VmSpec): ApiRequest {
  return put('/boot-source', {
    kernel_image_path: JAIL.kernel,
    ...(spec.initrdPath === null ? {} : { initrd_path: JAIL.initrd }),
    boot_args: kernelCommandLine(spec),
  });
}

/**
 * A guest that restarts ends its VM: a Firecracker cannot be switched off, so init restarts in place of it, through the
 * keyboard controller. Drives have no serial numbers of ours, so their order is told.
 */
export function kernelCommandLine({ kernelArgs, drives }: Pick<VmSpec, 'kernelArgs' | 'drives'>): string {
  const given = kernelArgs.split(/\s+/).filter((argument) => argument !== '' && !/^reboot=/.test(argument));
  const lacks = (name: string): boolean => !given.some((argument) => argument.startsWith(`${name}=`));
  return [
    ...given,
    ...(lacks('panic') ? ['panic=-1'] : []),
    // There is no PCI to be looked for. Nothing about i8042: with nopnp Debian's kernel does not hear Ctrl-Alt-Del.
    ...['reboot=k', 'pci=off'],
    `mvm.drives=${drives.map(({ id }) => id).join(',')}`,
    'mvm.off=reboot',
  ].join(' ');
}

function drive({ id, readOnly }: VmDrive): ApiRequest {
  return put(`/drives/${id}`, {
    drive_id: id,
    path_on_host: JAIL.drive(id),
    is_root_device: false,
    is_read_only: readOnly,
    // A guest's flush reaches the disk; with `Unsafe` it would not.
    cache_type: readOnly ? 'Unsafe' : 'Writeback',
    io_engine: 'Sync',
  });
}

function put(path: string, body: object): ApiRequest {
  return { method: 'PUT', path, body };
}
