import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { checkSocketPath } from '../process/socket-path.js';
import type { VmDrive, VmSpec } from '../vmm.js';

/** What of the host decides the arguments. */
export interface QemuHost {
  /** See `hostTscKhz`; null when unknown. */
  readonly tscKhz: number | null;
}

/** Name of the guest agent's port inside the guest: /dev/virtio-ports/<name>. */
const AGENT_PORT_NAME = 'org.mvm.agent.0';

/** The empty, root-owned directory that a VM's QEMU is confined to; it holds the socket of a save while one runs. */
export function vmmRoot(spec: Pick<VmSpec, 'socketDir'>): string {
  return join(spec.socketDir, 'root');
}

/** QEMU's control socket. Throws `vmm.socket_path_too_long`. */
export function qmpSocketPath(spec: Pick<VmSpec, 'socketDir'>): string {
  return checkSocketPath(join(spec.socketDir, 'qmp.sock'));
}

/** The guest agent's channel. Throws `vmm.socket_path_too_long`. */
export function agentSocketPath(spec: Pick<VmSpec, 'socketDir'>): string {
  return checkSocketPath(join(spec.socketDir, 'agent.sock'));
}

/**
 * QEMU's arguments for a VM, without the program's name: a microvm machine with virtio devices over MMIO, paused. Pure;
 * equal input gives equal arguments, so that a suspended guest can be restored with the same devices.
 *
 * `elevateprivileges=deny` is left out of the sandbox: together with `-runas` it kills QEMU as it drops its privileges;
 * the process has none afterwards, and cannot regain any. Source: qemu(1), QEMU 7.2.
 */
export function renderQemuArgv(spec: VmSpec, host: QemuHost): string[] {
  const { accelerator, net } = spec;
  return [
    ...['-M', machine()],
    ...['-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'max'],
    ...['-smp', String(spec.vcpus), '-m', `${spec.memMib}M`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-S'],
    ...['-kernel', spec.kernelPath],
    ...(spec.initrdPath === null ? [] : ['-initrd', spec.initrdPath]),
    ...['-append', kernelCommandLine(spec, host)],
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...[
      '-chardev',
      `file,id=console0,path=${escaped(spec.consolePath)},append=on`,
      '-serial',
      'chardev:console0',
    ],
    ...spec.drives.flatMap(drive),
    ...['-netdev', `tap,id=net0,fd=${TAP_FD},vhost=off`],
    ...['-device', `virtio-net-device,netdev=net0,mac=${net.mac}`],
    ...['-device', 'virtio-serial-device,id=serial0,max_ports=2'],
    ...['-chardev', socket('agent0', agentSocketPath(spec))],
    ...['-device', `virtserialport,bus=serial0.0,chardev=agent0,name=${AGENT_PORT_NAME},id=agentport0`],
    ...['-device', 'virtio-rng-device'],
    ...['-chardev', socket('qmp0', qmpSocketPath(spec)), '-mon', 'chardev=qmp0,mode=control'],
    ...['-sandbox', 'on,obsolete=deny,spawn=deny,resourcecontrol=deny'],
    ...['-runas', `${spec.uid}:${spec.gid}`, '-chroot', vmmRoot(spec)],
  ];
}

/** How a restored QEMU gets its state: the descriptor that `spawn` gave it. */
const INCOMING = ['-incoming', 'fd:3'];

/** Descriptor of the file that a restored guest's memory is mapped from. QEMU keeps it open. */
export const MAPPED_MEMORY_FD = 6;
/** How a QEMU maps it: privately, so that the file stays as it is. */
const MAPPED_MEMORY = ['-mem-path', `/proc/self/fd/${MAPPED_MEMORY_FD}`];

/**
 * The arguments that restore a saved VM: those it was saved with (program's name first), once they are found to be what
 * `spec` asks for. An extra or a missing device is accepted silently by QEMU and breaks the guest later. The kernel's
 * command line is not compared: it took effect long ago, and names this boot's clock frequency.
 * Throws `failed_precondition`, reason `vmm.devices_changed`. Pure.
 */
export function restoreArgv(
  spec: VmSpec,
  saved: readonly string[],
  { mapsMemory = false }: { readonly mapsMemory?: boolean } = {},
): string[] {
  const ours = [...INCOMING, ...MAPPED_MEMORY];
  const before = saved.slice(1).filter((argument) => !ours.includes(argument));
  const expected = renderQemuArgv(spec, { tscKhz: null });
  const append = expected.indexOf('-append') + 1;
  const netdev = expected.indexOf('-netdev') + 1;
  const changed = expected.findIndex(
    (argument, index) =>
      index !== append &&
      withoutLocking(argument) !== withoutLocking(before[index] ?? '') &&
      !(index === netdev && before[index] === namedTap(spec)),
  );
  if (changed >= 0 || before.length !== expected.length) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.devices_changed',
      message: `the VM ${spec.vmId} was saved with other devices than it would get now: ${before[changed] ?? 'fewer arguments'}`,
      hint: 'Give hostd the directories and names back that it had, or stop the instance, which discards its snapshot.',
      details: { vm_id: spec.vmId },
    });
  }
  return [
    ...expected.map((argument, index) => (index === append ? (before[index] ?? '') : argument)),
    ...(mapsMemory ? MAPPED_MEMORY : []),
    ...INCOMING,
  ];
}

/** A drive as hostd wrote it at first, when QEMU locked those too that nothing writes to. */
function withoutLocking(argument: string): string {
  return argument.replace(',file.locking=off', '');
}

/** A TAP as hostd wrote it at first, when QEMU opened it by its name. */
function namedTap({ net }: VmSpec): string {
  return `tap,id=net0,ifname=${escaped(net.tapName)},script=no,downscript=no,vhost=off`;
}

/** The type of machine. */
export const MACHINE_NAME = 'microvm';

/**
 * ACPI is how the guest finds its devices; the PIT and the PIC must stay, for without them an emulated guest cannot set
 * its clock and hangs.
 */
function machine(): string {
  const options = ['acpi=on', 'pit=on', 'pic=on', 'rtc=on', 'isa-serial=on'];
  return [MACHINE_NAME, ...options, 'x-option-roms=off', 'auto-kernel-cmdline=off'].join(',');
}

function kernelCommandLine(spec: VmSpec, host: QemuHost): string {
  const given = spec.kernelArgs.split(/\s+/);
  const lacks = (name: string): boolean => !given.some((argument) => argument.startsWith(`${name}=`));
  return [
    spec.kernelArgs,
    // A guest that panics reboots, which ends the VM (-no-reboot): it would hang for ever, and count as running.
    ...(lacks('panic') ? ['panic=-1'] : []),
    ...(lacks('panic') && lacks('reboot') ? ['reboot=t'] : []),
    ...(spec.accelerator !== 'tcg' || host.tscKhz === null
      ? []
      : [`tsc_early_khz=${host.tscKhz} tsc=reliable`]),
  ].join(' ');
}

/** Descriptor from which QEMU reads the passphrase of encrypted drives, once, as it starts. */
const PASSPHRASE_FD = 4;

/** Descriptor of the VM's TAP: QEMU is in a network namespace of its own, and could not open it. */
const TAP_FD = 5;

function drive({ id, path, readOnly, cipher }: VmDrive): string[] {
  // A writable disk bypasses the host's page cache: its guest has one, and memory limits count the host's too.
  // Without auto-read-only, QEMU never opens the file again: when it hands its state over it no longer could, by path,
  // from inside its empty root.
  // One that nothing writes to is not locked: a lock on a file that all tenants share is every VMM's to take.
  const mode = readOnly
    ? 'readonly=on,file.locking=off'
    : 'cache=none,aio=threads,discard=unmap,auto-read-only=off';
  const format = cipher === undefined ? 'raw' : `luks,key-secret=${id}-key`;
  return [
    ...(cipher === undefined ? [] : ['-object', `secret,id=${id}-key,file=/proc/self/fd/${PASSPHRASE_FD}`]),
    ...['-drive', `if=none,id=${id},file=${escaped(path)},format=${format},${mode}`],
    // A host's full disk is the guest's I/O error, as with Firecracker; by default QEMU would stop the guest in silence.
    ...[
      '-device',
      `virtio-blk-device,drive=${id},serial=${id}${readOnly ? '' : ',werror=report,rerror=report'}`,
    ],
  ];
}

function socket(id: string, path: string): string {
  return `socket,id=${id},path=${escaped(path)},server=on,wait=off`;
}

// SAFETY: in QEMU's option lists a comma ends a value, and a doubled one stands for itself.
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
