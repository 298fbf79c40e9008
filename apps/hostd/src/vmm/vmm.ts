import type { Duplex } from 'node:stream';
import type { CodedError } from '@mvm/protocol';

/**
 * The port to a virtual machine monitor: QEMU's driver and Firecracker's stand behind it. Nothing above this file knows
 * which one runs.
 *
 * INVARIANTS
 * - A launched VM does not run a guest instruction before `resume`: its cgroup, limits and identity are verified first.
 * - A VM outlives hostd. Everything needed to find it again is in its `VmRecord`.
 * - A handle's `exited` settles exactly once, for whatever reason the VMM ends.
 * - What a driver makes for a VM is in the VM's `socketDir`, its console and its log; the driver makes its own root directory,
 *   opens console and log for appending, and keeps both below their limit.
 */

/** How a guest's instructions run: on the CPU, or emulated. */
export type Accelerator = (typeof ACCELERATORS)[number];
export const ACCELERATORS = ['kvm', 'tcg'] as const;

/** What a driver can do on this host; does not change while hostd runs. */
export interface VmmCapabilities {
  readonly accelerator: Accelerator;
  /** Why it is this one, in words, for a log and for `HostInfo`. */
  readonly acceleratorReason: string;
  /** Of several drivers: whether a guest runs in Firecracker on this host, and the evidence or the obstacle, in words. */
  readonly firecracker?: { readonly usable: boolean; readonly reason: string };
  /** Whether it opens an encrypted drive with the passphrase that it is launched with. */
  readonly opensEncryptedDrives: boolean;
  /** The parts of a saved VM, in order. */
  readonly savedParts: readonly string[];
  /** Largest saved part that it takes as a file, in bytes; a larger one is streamed. One that maps files has no limit. */
  readonly maxSavedFileBytes: number;
}

export interface VmDrive {
  /** Also the drive's serial number inside the guest: `rootfs`, `config`, `data`, `secrets`. */
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** An encrypted container, which the VMM opens with the passphrase that it is launched with. */
  readonly cipher?: 'luks';
}

/** All that a VMM needs to be launched; serialisable, absolute paths, chosen by hostd alone. */
export interface VmSpec {
  /** Unique on the host and short: the TAP's name, e.g. `tn3i5`. */
  readonly vmId: string;
  readonly vcpus: number;
  readonly memMib: number;
  readonly kernelPath: string;
  readonly initrdPath: string | null;
  /** Kernel command line. */
  readonly kernelArgs: string;
  readonly drives: readonly VmDrive[];
  readonly net: { readonly tapName: string; readonly mac: string };
  readonly uid: number;
  readonly gid: number;
  /** A directory of this VM alone, root's, for sockets and whatever else its VMM needs; socket paths stay under 107 bytes. */
  readonly socketDir: string;
  /** Where console and VMM log go. */
  readonly consolePath: string;
  readonly vmmLogPath: string;
  readonly accelerator: Accelerator;
}

/** Which VMM a VM runs, or was saved, with. */
export interface VmOrigin {
  readonly vmm: 'qemu' | 'firecracker';
  readonly vmmVersion: string;
}

/** What a driver keeps of a VM: JSON that no one else looks into. */
export type DriverState = Readonly<Record<string, unknown>>;

/** What is recorded of a live VM, so that a restarted hostd finds it again. */
export interface VmRecord extends VmOrigin {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot: tells a reused pid apart. */
  readonly startTimeTicks: string;
  /** /proc/sys/kernel/random/boot_id of the host. */
  readonly hostBootId: string;
  readonly spec: VmSpec;
  /** What the driver needs to find the VM again, and to restore one that was saved. */
  readonly driverState: DriverState;
}

export interface VmExit {
  /** Null for a VM that was adopted (not our child), or that died by a signal. */
  readonly exitCode: number | null;
  readonly signal: string | null;
}

/** What became of letting the vCPUs run. */
export type ResumeOutcome =
  | { readonly outcome: 'running' }
  /** The VMM said no, and they stand still as before. The error is `failed_precondition`, `vmm.not_resumed`. */
  | { readonly outcome: 'refused'; readonly error: CodedError };

export interface VmHandle {
  readonly record: VmRecord;
  readonly exited: Promise<VmExit>;
  /** Let the vCPUs run. Repeating it changes nothing. After an error they may have run; `vmm.gone`: the VM has ended. */
  resume(): Promise<ResumeOutcome>;
  /**
   * Ask the guest to shut down, as a power button does, and return at once. It may ignore that, or not listen yet; when
   * it shuts down, the VMM ends.
   */
  powerDown(): Promise<void>;
  /** Stop the vCPUs, keeping memory. Repeating it changes nothing. */
  pause(): Promise<void>;
  /**
   * The paused VM's memory and device state, which `Vmm.restore` takes back: one part after the other, each read to its
   * end before the next. Complete when it ends without an error; giving it up midway leaves the VM paused, as it was.
   * Errors: `internal` `vmm.save_failed`, `vmm.gone`.
   */
  save(options?: SaveOptions): AsyncIterable<SavedPart>;
  /** Whether a program in the guest has the agent's channel open. Sends nothing through it. */
  hasAgent(): Promise<boolean>;
  /** Whether `hasAgent` asks the guest; else its VMM answers, of a restored guest also before that has run. */
  readonly asksGuestForAgent: boolean;
  /** A stream that ends in the guest's agent; null while there is none. One at a time; whoever asks for it destroys it. */
  connectAgent(signal: AbortSignal): Promise<Duplex | null>;
  /** End the VMM now (SIGKILL) and wait until the process is gone. Repeating it changes nothing. */
  kill(): Promise<void>;
  /** Leave the VM alone without ending it: closes our connections and listeners. */
  detach(): void;
}

export interface SaveOptions {
  /** The parts are kept as they are, in plain: a driver may give the memory as an image. */
  readonly inPlain?: boolean;
  /** The parts are kept on a tmpfs. */
  readonly inMemory?: boolean;
}

/**
 * A part of a saved VM. QEMU has one, `memory`, with all that there is, or `devices` and the image `memory`; Firecracker
 * two files, `vmstate` and `memory`.
 */
export interface SavedPart {
  /** 1 to 16 letters, a to z: also the name of the file in which hostd keeps it. */
  readonly name: string;
  /** Each piece is good until the next one is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** It is the guest's memory, byte for byte: its VMM maps it from the file, and the guest runs before it is read. */
  readonly isImage?: true;
}

export interface RestoredPart extends SavedPart {
  /** A file of the same bytes, for a VMM that reads or maps it by itself; null when there is none. */
  readonly file: string | null;
}

/** What a VM is restored from. */
export interface SavedVm {
  readonly origin: VmOrigin;
  /** Of the saved VM's record. */
  readonly driverState: DriverState;
  /** As they were saved, in the same order. */
  readonly parts: readonly RestoredPart[];
  /** Of its encrypted drives. */
  readonly passphrase?: string | null;
}

export interface Vmm {
  readonly name: 'qemu' | 'firecracker';
  /** Throws `failed_precondition`, reason `vmm.missing`, when it is not installed. */
  version(): Promise<string>;
  /** Of what VMs are launched with; of several drivers, of the one with this name. */
  capabilities(vmm?: VmOrigin['vmm']): Promise<VmmCapabilities>;
  /** What a VMM takes beside its guest's memory, at most, in MiB; `vmm` as for `capabilities`. */
  memoryOverheadMib(spec: Pick<VmSpec, 'accelerator' | 'vcpus' | 'memMib'>, vmm?: VmOrigin['vmm']): number;
  /** Whether a program of this name, without its directory, can be a VMM of this driver. */
  isVmmProgram(name: string): boolean;
  /** Null when this host restores what was saved with `origin`, else why not. Throws as `version` does. */
  canRestore(origin: VmOrigin): Promise<CodedError | null>;
  /**
   * Start the VMM, paused. `attach` is called with the pid as soon as the process exists, to put it into its cgroup.
   * On any error the process is gone and its sockets are removed. Errors: `vmm.launch_failed`, with the VMM's own words.
   */
  launch(
    spec: VmSpec,
    attach: (pid: number) => Promise<void>,
    /** Of its encrypted drives; never in an argument, a file or a record. */
    passphrase?: string | null,
  ): Promise<VmHandle>;
  /**
   * Like `launch`, with the state of a saved VM in place of a boot: paused, at the instruction where it was saved.
   * The saved VM's devices must be those of `spec`. Errors: those of `launch`; `failed_precondition`
   * `vmm.devices_changed`; `snapshot.other_version`; `vmm.restore_failed` when the VMM does not take the parts.
   */
  restore(spec: VmSpec, attach: (pid: number) => Promise<void>, saved: SavedVm): Promise<VmHandle>;
  /** The VM of a record, or null when it is gone (or the pid belongs to another process). */
  adopt(record: VmRecord): Promise<VmHandle | null>;
}
