import { type CodedError, isCodedError } from '@mvm/protocol';
import { z } from 'zod';
import { findUnheldLocks } from '../process/disk-locks.js';
import { launchError } from '../process/launch-error.js';
import { type Launched, watchLaunched } from '../process/launched.js';
import { readLogTail } from '../process/log-tail.js';
import { readArgv, readHostBootId } from '../process/process-identity.js';
import { checkSocketPath } from '../process/socket-path.js';
import { requireTap } from '../require-tap.js';
import type { DriverState, RestoredPart, VmHandle, VmRecord, VmSpec } from '../vmm.js';
import { createApi, type FirecrackerApi } from './api.js';
import { verifyJailed } from './confinement.js';
import { createFirecrackerHandle } from './handle.js';
import { readSnapshotHost, type SnapshotHost } from './host.js';
import { admitUser, closeJail, type JailFile, makeJailBase, throughJail } from './jail.js';
import { apiSocketPath, configurationOf, devicesOf, JAIL, vsockPath } from './machine.js';
import { loadSnapshot, memoryFile } from './restore.js';
import { type LaunchOptions, spawnJailer } from './spawn.js';

const MAX_PID = 4_194_304;

/** What is recorded of a Firecracker beside what every driver records. */
interface FirecrackerState extends DriverState {
  /** Of the process, program first. */
  readonly argv: readonly string[];
  /** As `devicesOf` has them: a saved VM has these, and no others. */
  readonly devices: readonly unknown[];
  readonly host: SnapshotHost;
}

type Parts = { readonly vmstate: RestoredPart; readonly memory: RestoredPart };

/** Launches, or restores from `parts`, and checks that it is confined. */
export async function launchFirecracker(
  how: LaunchOptions,
  spec: VmSpec,
  attach: (pid: number) => Promise<void>,
  parts: Parts | null,
): Promise<VmHandle> {
  await requireTap(spec);
  // hostd's own path to it is the longest, whatever the pid will be. Source: pid_max of proc(5).
  checkSocketPath(throughJail(MAX_PID, vsockPath(spec)));
  const { firecracker, jailer } = await how.programs();
  const reason = parts === null ? 'vmm.launch_failed' : 'vmm.restore_failed';
  const files = filesOf(spec, parts);
  for (const file of files) await admitUser(file, spec);
  await makeJailBase(spec);
  const { child, marks } = await spawnJailer({
    logLimitBytes: how.logLimitBytes,
    jailer,
    firecracker,
    spec,
    files,
    reason,
  });
  const launched = await watchLaunched(child, 'Firecracker');
  const { pid, startTimeTicks } = launched;
  const fail = async (what: string, cause?: unknown): Promise<CodedError> => {
    // Until the guest runs, its console shows what Firecracker says.
    const said = await Promise.all([
      readLogTail(spec.vmmLogPath, marks.log),
      readLogTail(spec.consolePath, marks.console),
    ]);
    const words = said.filter((text) => text !== '').join('; ');
    return launchError({ vmId: spec.vmId, what, words, reason, cause });
  };
  try {
    if (startTimeTicks === null) throw await fail(await launched.ending());
    await attach(pid);
    const api = createApi(throughJail(pid, apiSocketPath(spec)));
    const vmmVersion = await readyVersion(api, launched, fail);
    if (vmmVersion !== firecracker.version)
      throw await fail(`it is version ${vmmVersion} instead of ${firecracker.version}`);
    await verifyJailed(pid, spec, { started: false });
    const unlocked = (await findUnheldLocks(pid, spec.drives)).map(({ id }) => id).join(', ');
    if (unlocked !== '') throw await fail(`failed to get its lock alone on: ${unlocked}`);
    const configure = async (): Promise<void> => {
      if (parts === null) for (const request of configurationOf(spec)) await api.call(request);
      else await loadSnapshot(api, pid, spec, parts, attach);
    };
    await configure().catch(async (error: unknown) => {
      if (!isCodedError(error) || error.reason !== 'vmm.command_failed') throw error;
      throw await fail(error.message, error);
    });
    await closeJail(pid, spec);
    if (parts !== null) await verifyJailed(pid, spec, { started: true });
    const record: VmRecord = {
      vmm: 'firecracker',
      vmmVersion,
      pid,
      startTimeTicks,
      hostBootId: await readHostBootId(),
      spec,
      driverState: {
        argv: (await readArgv(pid)) ?? [],
        devices: devicesOf(spec),
        host: await readSnapshotHost(firecracker.sha256),
      } satisfies FirecrackerState,
    };
    return createFirecrackerHandle({
      record,
      boundLog: how.boundLog,
      child: { exit: launched.exit, detach: () => child.unref() },
    });
  } catch (error) {
    throw await launched.endAfter(error, fail);
  }
}

function filesOf(spec: VmSpec, parts: Parts | null): JailFile[] {
  return [
    ...(parts === null ? bootFiles(spec) : memoryFile(parts.memory)),
    ...spec.drives.map(({ id, path, readOnly }) => ({ name: JAIL.drive(id), source: path, readOnly })),
  ];
}

function bootFiles({ kernelPath, initrdPath }: VmSpec): JailFile[] {
  return [
    { name: JAIL.kernel, source: kernelPath, readOnly: true },
    ...(initrdPath === null ? [] : [{ name: JAIL.initrd, source: initrdPath, readOnly: true }]),
  ];
}

const versionSchema = z.object({ firecracker_version: z.string().max(64) }).loose();

/** Asks as soon as Firecracker answers; its version. Fails at once when it ends first. */
export function readyVersion(
  api: FirecrackerApi,
  launched: Launched,
  fail: (what: string, cause?: unknown) => Promise<CodedError>,
): Promise<string> {
  return launched.whenReady(async (timeoutMs) => {
    const answer = await api.call({ method: 'GET', path: '/version', timeoutMs });
    return versionSchema.parse(answer).firecracker_version;
  }, fail);
}
