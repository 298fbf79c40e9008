import type { CodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import { originMismatch } from '../origin.js';
import { type BoundLog, noBound } from '../process/bound-log.js';
import { isAlive, readArgv, readHostBootId } from '../process/process-identity.js';
import type { VmHandle, Vmm, VmmCapabilities, VmOrigin, VmRecord } from '../vmm.js';
import { createApi } from './api.js';
import { verifyJailed } from './confinement.js';
import { createFirecrackerHandle } from './handle.js';
import { hostMismatch, readSnapshotHost } from './host.js';
import { throughJail } from './jail.js';
import { launchFirecracker } from './launch.js';
import { apiSocketPath, requireSameDevices, SAVED_PARTS } from './machine.js';
import { createProgramsReader, type Programs } from './program.js';
import { partsOf } from './restore.js';
import type { LaunchOptions } from './spawn.js';
import { isKnownVersion, KNOWN_VERSIONS, unknownVersion } from './versions.js';

/** What a Firecracker needs beside the guest's memory: itself, its jail, page cache that is not given up in time. */
const MEMORY_OVERHEAD_MIB = 96;
/** Of a smaller guest's limit, too, there is room for another VMM that opens its encrypted drive. */
const LEAST_SNAPSHOT_MIB = 128;
const VMM_PROGRAM = /^(firecracker|jailer)(-[A-Za-z0-9._-]+)?$/;

export interface FirecrackerVmmOptions {
  /** Those of that name in PATH unless told; see `createProgramsReader`. */
  readonly programs?: () => Promise<Programs>;
  readonly logger?: Pick<Logger, 'debug' | 'warn'>;
  /** How much of a VMM's logs hostd keeps, in bytes; 1 MiB unless told. */
  readonly logLimitBytes?: number;
  readonly boundLog?: BoundLog;
  /** Why guests run on the CPU, in words, for `capabilities`. */
  readonly acceleratorReason?: string;
}

/**
 * Launches and adopts VMs with Firecracker, each in a jail that its jailer makes. Firecracker opens its TAP by name, and so
 * stays in the host's network namespace, where the firewall lets nothing of a VM's user pass.
 */
export function createFirecrackerVmm(options: FirecrackerVmmOptions = {}): Vmm {
  const { logger, boundLog = noBound, logLimitBytes = 1_048_576 } = options;
  const { programs = createProgramsReader() } = options;
  const how: LaunchOptions = { programs, logLimitBytes, boundLog };
  const capabilities: VmmCapabilities = {
    accelerator: 'kvm',
    acceleratorReason: options.acceleratorReason ?? 'Firecracker runs guests on the CPU alone',
    opensEncryptedDrives: false,
    savedParts: SAVED_PARTS,
    maxSavedFileBytes: Number.MAX_SAFE_INTEGER,
  };
  let warnedOf: string | null = null;
  const warnOfVersion = ({ vmmVersion }: VmRecord): void => {
    if (isKnownVersion(vmmVersion) || warnedOf === vmmVersion) return;
    warnedOf = vmmVersion;
    logger?.warn(
      { version: vmmVersion, known: KNOWN_VERSIONS },
      'this version of Firecracker is not known: instances start, and cannot sleep',
    );
  };
  const timed = ({ record }: VmHandle, begun: number): object => ({
    ...{ vmId: record.spec.vmId, pid: record.pid },
    ms: performance.now() - begun,
  });
  const canRestore = async (origin: VmOrigin): Promise<CodedError | null> => {
    const { firecracker } = await programs();
    const mismatch = originMismatch(origin, { vmm: 'firecracker', vmmVersion: firecracker.version });
    if (mismatch !== null || isKnownVersion(origin.vmmVersion)) return mismatch;
    return unknownVersion(origin.vmmVersion, 'cannot wake an instance');
  };
  return {
    name: 'firecracker',
    version: async () => (await programs()).firecracker.version,
    capabilities: async () => capabilities,
    // A snapshot is written, and an unpacked one kept, in memory: as much again as the guest has.
    memoryOverheadMib: ({ memMib }) => MEMORY_OVERHEAD_MIB + Math.max(memMib, LEAST_SNAPSHOT_MIB),
    isVmmProgram: (name) => VMM_PROGRAM.test(name),
    canRestore,
    launch: async (spec, attach, passphrase = null) => {
      const begun = performance.now();
      if (passphrase !== null || spec.drives.some(({ cipher }) => cipher !== undefined))
        throw new Error(`VM ${spec.vmId} has an encrypted drive, which Firecracker does not open`);
      const handle = await launchFirecracker(how, spec, attach, null);
      warnOfVersion(handle.record);
      logger?.debug(timed(handle, begun), 'launched Firecracker, paused');
      return handle;
    },
    restore: async (spec, attach, saved) => {
      const begun = performance.now();
      const mismatch = await canRestore(saved.origin);
      if (mismatch !== null) throw mismatch;
      requireSameDevices(spec, saved.driverState.devices);
      const parts = partsOf(saved, spec.vmId);
      const { firecracker } = await programs();
      const other = hostMismatch(saved.driverState.host, await readSnapshotHost(firecracker.sha256));
      if (other !== null) throw other;
      const handle = await launchFirecracker(how, spec, attach, parts);
      logger?.debug(timed(handle, begun), 'restored Firecracker, paused');
      return handle;
    },
    adopt: (record) => adoptFirecracker(record, boundLog),
  };
}

async function adoptFirecracker(record: VmRecord, boundLog: BoundLog): Promise<VmHandle | null> {
  if (record.vmm !== 'firecracker' || record.hostBootId !== (await readHostBootId())) return null;
  if (!(await isAlive(record))) return null;
  const argv = await readArgv(record.pid);
  const { argv: recorded } = record.driverState;
  if (argv === null || !Array.isArray(recorded) || argv.join('\0') !== recorded.join('\0')) return null;
  try {
    const api = createApi(throughJail(record.pid, apiSocketPath(record.spec)));
    const state = await api.call({ method: 'GET', path: '/' });
    const started = (state as { state?: unknown } | null)?.state !== 'Not started';
    await verifyJailed(record.pid, record.spec, { started });
    return createFirecrackerHandle({ record, boundLog, child: null });
  } catch (error) {
    if (!(await isAlive(record))) return null;
    throw error;
  }
}
