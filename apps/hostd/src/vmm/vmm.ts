/**
 * The interface between hostd's lifecycle and a virtual machine monitor. Two drivers are foreseen, QEMU and
 * Firecracker; nothing above this file knows which one runs.
 *
 * INVARIANTS
 * - A launched VM does not run a guest instruction before `resume`: its cgroup, limits and identity are verified first.
 * - A VM outlives hostd. Everything needed to find it again is in its `VmRecord`.
 * - A handle's `exited` settles exactly once, for whatever reason the VMM ends.
 */

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
  /** Where the VMM's sockets go; the whole path stays under 107 bytes. */
  readonly socketDir: string;
  /** Where console and VMM log go. */
  readonly consolePath: string;
  readonly vmmLogPath: string;
  /** An empty, root-owned directory of this VM alone to chroot into; it holds the socket of a `save` while one runs. */
  readonly emptyRootPath: string;
  readonly accelerator: 'kvm' | 'tcg';
}

/** What is recorded of a live VM, so that a restarted hostd finds it again. */
export interface VmRecord {
  readonly vmm: 'qemu' | 'firecracker';
  readonly vmmVersion: string;
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot: tells a reused pid apart. */
  readonly startTimeTicks: string;
  /** /proc/sys/kernel/random/boot_id of the host. */
  readonly hostBootId: string;
  readonly spec: VmSpec;
  /** The exact argument vector, for a later restore. */
  readonly argv: readonly string[];
}

export interface VmExit {
  /** Null for a VM that was adopted (not our child), or that died by a signal. */
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface VmHandle {
  readonly record: VmRecord;
  readonly exited: Promise<VmExit>;
  /**
   * Let the vCPUs run. Repeating it changes nothing. Errors: `failed_precondition` `vmm.not_resumed` when the VMM says no,
   * and they stand still as before; after any other error they may have run; `vmm.gone`.
   */
  resume(): Promise<void>;
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
  save(): AsyncIterable<SavedPart>;
  /** The guest agent's channel, or null while no program in the guest has it open. */
  agentSocket(): Promise<string | null>;
  /** End the VMM now (SIGKILL) and wait until the process is gone. Repeating it changes nothing. */
  kill(): Promise<void>;
  /** Let go of the VM without ending it: closes our connections and listeners. */
  release(): void;
}

/** A part of a saved VM. QEMU has one, `memory`, with all that there is; Firecracker two files, `vmstate` and `memory`. */
export interface SavedPart {
  /** 1 to 16 letters, a to z: also the name of the file in which hostd keeps it. */
  readonly name: string;
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface RestoredPart extends SavedPart {
  /** A file of the same bytes, for a VMM that reads or maps it by itself; null when there is none. */
  readonly file: string | null;
}

/** What a VM is restored from. */
export interface SavedVm {
  /** The saved VM's arguments, program first. */
  readonly argv: readonly string[];
  /** As they were saved, in the same order. */
  readonly parts: readonly RestoredPart[];
  /** Of its encrypted drives. */
  readonly passphrase?: string | null;
}

export interface Vmm {
  readonly name: 'qemu' | 'firecracker';
  /** Throws `failed_precondition`, reason `vmm.missing`, when it is not installed. */
  version(): Promise<string>;
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
   * `argv` is the saved VM's: its devices must be those of `spec`. Errors: those of `launch`; `failed_precondition`
   * `vmm.devices_changed`; `vmm.restore_failed` when the VMM does not take the parts.
   */
  restore(spec: VmSpec, attach: (pid: number) => Promise<void>, saved: SavedVm): Promise<VmHandle>;
  /** The VM of a record, or null when it is gone (or the pid is somebody else's). */
  adopt(record: VmRecord): Promise<VmHandle | null>;
}
