import { rm, stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import { fromFileError } from '../../state/fs-error.js';
import { detectAccelerator } from '../accelerator.js';
import { originMismatch } from '../origin.js';
import { type BoundLog, noBound } from '../process/bound-log.js';
import { isAlive, readArgv, readHostBootId, verifyConfinement } from '../process/process-identity.js';
import { requireTap } from '../require-tap.js';
import type { RestoredPart, SavedVm, VmHandle, Vmm, VmmCapabilities, VmRecord, VmSpec } from '../vmm.js';
import { qmpSocketPath, renderQemuArgv, restoreArgv, vmmRoot } from './argv.js';
import { createQemuHandle } from './handle.js';
import { type LaunchOptions, launchQemu, parseState } from './launch.js';
import { connectQmp } from './qmp.js';
import { MEMORY_PART, removeSaveSocket } from './save.js';
import { DEVICES_PART, devicesFile, FIRMWARE_PART } from './save-image.js';
import type { LaunchInputs } from './spawn.js';
import { hostTscKhz } from './tsc.js';
import { createVersionReader } from './version.js';

const ADOPT_WITHIN_MS = 3_000;

/** The largest file that QEMU reads by itself: while it does, it answers no command. */
const MAX_SAVED_FILE_BYTES = 2 * 2 ** 30;
/** What a QEMU needs beside the guest's memory: its own code and buffers; under TCG also the translated code. */
const MEMORY_OVERHEAD_MIB = { kvm: 192, tcg: 512 } as const;
/** The parts of a saved QEMU whose memory is mapped. */
const APART = [DEVICES_PART, FIRMWARE_PART, MEMORY_PART].join(', ');
const VMM_PROGRAM = /^(qemu-system-.+|qemu-kvm|kvm)$/;

export interface QemuVmmOptions {
  /** A program's name, or its absolute path. */
  readonly binary?: string;
  readonly logger?: Pick<Logger, 'debug'>;
  /** `own` unless told: network, pid and ipc namespaces of each VMM's own. */
  readonly namespaces?: 'own' | 'host';
  /** How much of a VMM's logs hostd keeps, in bytes; 1 MiB unless told. */
  readonly logLimitBytes?: number;
  /** Keeps a log below that limit until `release`. */
  readonly boundLog?: BoundLog;
}

/**
 * Launches and adopts VMs with QEMU's microvm machine (amd64 hosts). A launched QEMU is in its own session, has no
 * descriptor of ours but /dev/null and its log, and is verified to have dropped every privilege before `launch`
 * returns; the guest has not run an instruction by then.
 */
export function createQemuVmm(options: QemuVmmOptions = {}): Vmm {
  const { binary = 'qemu-system-x86_64', logger, namespaces = 'own', boundLog = noBound } = options;
  const { logLimitBytes = 1_048_576 } = options;
  const how: LaunchOptions = { binary, namespaces, logLimitBytes, boundLog };
  const tscKhz = hostTscKhz();
  const version = createVersionReader(binary);
  let capabilities: Promise<VmmCapabilities> | null = null;
  const timed = ({ record }: VmHandle, begun: number): object => ({
    ...{ vmId: record.spec.vmId, pid: record.pid },
    ms: performance.now() - begun,
  });
  return {
    name: 'qemu',
    version,
    capabilities: () => {
      capabilities ??= detectAccelerator().then(({ accelerator, reason }) => ({
        accelerator,
        acceleratorReason: reason,
        opensEncryptedDrives: true,
        savedParts: [MEMORY_PART],
        maxSavedFileBytes: MAX_SAVED_FILE_BYTES,
      }));
      return capabilities;
    },
    memoryOverheadMib: ({ accelerator }) => MEMORY_OVERHEAD_MIB[accelerator],
    isVmmProgram: (name) => VMM_PROGRAM.test(name),
    canRestore: async (origin) => originMismatch(origin, { vmm: 'qemu', vmmVersion: await version() }),
    launch: async (spec, attach, passphrase = null) => {
      const begun = performance.now();
      await checkHost(spec);
      const argv = renderQemuArgv(spec, { tscKhz: await tscKhz });
      const inputs = { state: null, memoryFile: null, firmware: null, origin: null, passphrase };
      const handle = await launchQemu(how, argv, spec, attach, inputs);
      logger?.debug(timed(handle, begun), 'launched QEMU, paused');
      return handle;
    },
    restore: async (spec, attach, saved) => {
      const begun = performance.now();
      await checkHost(spec);
      const { state, memoryFile, firmware } = await restoredFrom(saved, spec);
      const argv = restoreArgv(spec, parseState(saved.driverState)?.argv ?? [], {
        mapsMemory: memoryFile !== null,
      });
      const inputs = {
        state,
        memoryFile,
        firmware,
        origin: saved.origin,
        passphrase: saved.passphrase ?? null,
      };
      const handle = await launchQemu(how, argv, spec, attach, inputs);
      logger?.debug(timed(handle, begun), 'restored QEMU, paused');
      return handle;
    },
    adopt: (record) => adoptQemu(record, boundLog),
  };
}

/** What QEMU would not notice, or would silently put right as root. */
async function checkHost(spec: VmSpec): Promise<void> {
  if (process.arch !== 'x64') {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.unsupported_host',
      message: `the QEMU driver does not run on ${process.arch}`,
      hint: 'Use an amd64 host.',
    });
  }
  // A QEMU started by root makes a missing TAP, ownerless and unguarded, so its absence is an error here.
  await requireTap(spec);
}

/**
 * The state, and the file with the memory when that is apart. Throws `vmm.restore_failed` when what was saved is not what a
 * QEMU saves: it would take another file of a fitting size, or an empty one, in silence.
 */
async function restoredFrom(
  { parts }: SavedVm,
  { vmId, memMib }: VmSpec,
): Promise<Pick<LaunchInputs, 'memoryFile' | 'firmware'> & { readonly state: RestoredPart }> {
  const [state, firmware, memory] = parts;
  const failed = (why: string): CodedError =>
    new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.restore_failed',
      message: `cannot restore the VM ${vmId}: ${why}`,
      details: { vm_id: vmId },
    });
  if (state?.name === MEMORY_PART && firmware === undefined)
    return { state, memoryFile: null, firmware: null };
  const names = parts.map(({ name }) => name).join(', ');
  if (state === undefined || firmware === undefined || memory === undefined || names !== APART)
    throw failed(`a saved QEMU is ${MEMORY_PART}, or ${APART}, and not ${names || 'none'}`);
  if (memory.file === null) throw failed(`its ${MEMORY_PART} is no file that can be mapped`);
  const { size } = await stat(memory.file).catch((error: unknown) => {
    throw fromFileError(error, `cannot look at ${memory.file}`);
  });
  if (size !== memMib * 2 ** 20)
    throw failed(`its ${MEMORY_PART} has ${size} bytes instead of ${memMib} MiB`);
  return { state, memoryFile: memory.file, firmware };
}

async function adoptQemu(record: VmRecord, boundLog: BoundLog): Promise<VmHandle | null> {
  if (record.vmm !== 'qemu' || record.hostBootId !== (await readHostBootId())) return null;
  if (!(await isAlive(record))) return null;
  const argv = await readArgv(record.pid);
  const recorded = parseState(record.driverState)?.argv;
  if (argv === null || argv.join('\0') !== recorded?.join('\0')) return null;
  const { spec } = record;
  try {
    const qmp = await connectQmp({ path: qmpSocketPath(spec), timeoutMs: ADOPT_WITHIN_MS });
    await verifyConfinement(record.pid, { uid: spec.uid, gid: spec.gid, rootPath: vmmRoot(spec) });
    await removeSaveSocket(spec);
    await rm(devicesFile(spec), { force: true });
    return createQemuHandle({ record, qmp, boundLog, child: null });
  } catch (error) {
    if (!(await isAlive(record))) return null;
    throw error;
  }
}
