import { chmod, mkdir } from 'node:fs/promises';
import { type CodedError, isCodedError } from '@mvm/protocol';
import { fromFileError } from '../../state/fs-error.js';
import { originMismatch } from '../origin.js';
import type { BoundLog } from '../process/bound-log.js';
import { findUnheldLocks } from '../process/disk-locks.js';
import { launchError } from '../process/launch-error.js';
import { watchLaunched } from '../process/launched.js';
import { readLogTail } from '../process/log-tail.js';
import { findSharedNamespace, WITHOUT_NETWORK } from '../process/namespaces.js';
import { readHostBootId, verifyConfinement } from '../process/process-identity.js';
import type { DriverState, VmHandle, VmRecord, VmSpec } from '../vmm.js';
import { qmpSocketPath, vmmRoot } from './argv.js';
import { createQemuHandle, removeSockets } from './handle.js';
import { connectQmp, type QmpClient } from './qmp.js';
import { runState, type StateStream, stateLoaded, streamIncomingState } from './restore.js';
import { loadFirmware } from './save-image.js';
import { type LaunchInputs, type SpawnOptions, spawnQemu } from './spawn.js';

export interface LaunchOptions extends SpawnOptions {
  readonly boundLog: BoundLog;
}

/** What is recorded of a QEMU beside what every driver records. */
interface QemuState extends DriverState {
  /** Program first. */
  readonly argv: readonly string[];
}

/** Null when another driver wrote it, or it is damaged. */
export function parseState({ argv }: DriverState): QemuState | null {
  return Array.isArray(argv) && argv.every((argument) => typeof argument === 'string') ? { argv } : null;
}

/** Answers once QEMU is paused, confined and identified; whatever fails, it is ended. Throws `vmm.*`. */
export async function launchQemu(
  how: LaunchOptions,
  argv: readonly string[],
  spec: VmSpec,
  attach: (pid: number) => Promise<void>,
  inputs: LaunchInputs,
): Promise<VmHandle> {
  const { state, origin } = inputs;
  await removeSockets(spec);
  await makeRoot(spec);
  const { child, logOffset } = await spawnQemu(how, argv, spec, inputs);
  const launched = await watchLaunched(child, 'QEMU');
  const { pid, startTimeTicks } = launched;
  const fail = async (what: string, cause?: unknown): Promise<CodedError> =>
    launchError({ vmId: spec.vmId, what, words: await readLogTail(spec.vmmLogPath, logOffset), cause });
  let qmp: QmpClient | null = null;
  let streaming: StateStream | null = null;
  try {
    if (startTimeTicks === null) throw await fail(await launched.ending());
    await attach(pid);
    if (state !== null)
      streaming = state.file === null ? streamIncomingState(child, state.bytes) : Promise.resolve(null);
    const [connected, hostBootId] = await Promise.all([
      launched.whenReady((timeoutMs) => connectQmp({ path: qmpSocketPath(spec), timeoutMs }), fail),
      readHostBootId(),
    ]);
    qmp = connected;
    const mismatch = origin && originMismatch(origin, { vmm: 'qemu', vmmVersion: qmp.version });
    if (mismatch !== null) throw mismatch;
    // Answered by the main loop, which runs only after the privileges are dropped.
    if (streaming === null) {
      if ((await runState(qmp)) !== 'prelaunch') throw await fail('the guest did not wait to be let run');
    } else {
      await stateLoaded(qmp, streaming, fail);
      if (inputs.firmware !== null) await loadFirmware({ pid, vmId: spec.vmId }, qmp, inputs.firmware.bytes);
      // A QEMU that loaded its state and could not lock a disk is paused all the same, and fails only when it is let run:
      // by then the snapshot is used up.
      const unheld = (await findUnheldLocks(pid, spec.drives)).map(({ id }) => id).join(', ');
      if (unheld !== '') throw await fail(`failed to get its lock alone on: ${unheld}`);
    }
    await verifyConfinement(pid, { uid: spec.uid, gid: spec.gid, rootPath: vmmRoot(spec) });
    const shared = how.namespaces === 'own' ? await findSharedNamespace(pid, WITHOUT_NETWORK) : null;
    if (shared !== null) throw await fail(`it shares the host's ${shared} namespace`);
    const record: VmRecord = {
      vmm: 'qemu',
      vmmVersion: qmp.version,
      pid,
      startTimeTicks,
      hostBootId,
      spec,
      driverState: { argv: [how.binary, ...argv] } satisfies QemuState,
    };
    return createQemuHandle({
      record,
      qmp,
      boundLog: how.boundLog,
      child: { exit: launched.exit, detach: () => child.unref() },
    });
  } catch (error) {
    qmp?.close();
    const reported = await launched.endAfter(error, fail, isLaunchError);
    await removeSockets(spec);
    // An image that cannot be read (damaged, or sealed with another key) is why QEMU was not content with it.
    const unreadable = await streaming;
    if (isCodedError(unreadable)) throw unreadable;
    throw reported;
  }
}

/** The directory that QEMU is confined to: root's own, whatever our umask is. Its VMM may enter it and write nothing there. */
async function makeRoot(spec: VmSpec): Promise<void> {
  const root = vmmRoot(spec);
  try {
    await mkdir(root, { recursive: true });
    // PRIVILEGE: the directory is readable by all, writable by none.
    await chmod(root, 0o555);
  } catch (error) {
    throw fromFileError(error, `cannot make ${root}`);
  }
}

/** Whether the error says why the launch failed. */
function isLaunchError({ details, reason }: CodedError): boolean {
  return details.vm_id !== undefined || reason.startsWith('cgroup.');
}
