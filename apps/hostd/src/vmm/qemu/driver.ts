import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, writeSync } from 'node:fs';
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCodedError } from '@mvm/protocol';
import type { Logger } from 'pino';
import { errnoOf, fromFileError } from '../../state/fs-error.js';
import { makePipe } from '../../system/libc.js';
import { noProcesses } from '../../system/spawn-error.js';
import { openTapDescriptor } from '../../system/tap.js';
import { detectAccelerator } from '../accelerator.js';
import { originMismatch } from '../origin.js';
import { type BoundLog, noBound } from '../process/bound-log.js';
import { keepDescriptors } from '../process/keep-descriptors.js';
import { killProcess } from '../process/kill-process.js';
import { findSharedNamespace, inOwnNamespaces } from '../process/namespaces.js';
import {
  isAlive,
  readArgv,
  readHostBootId,
  readStartTime,
  verifyConfinement,
} from '../process/process-identity.js';
import { fileSizeLimit, limitProcess } from '../process/resource-limits.js';
import { requireTap } from '../require-tap.js';
import type {
  DriverState,
  RestoredPart,
  SavedVm,
  VmExit,
  VmHandle,
  Vmm,
  VmmCapabilities,
  VmOrigin,
  VmRecord,
  VmSpec,
} from '../vmm.js';
import { qmpSocketPath, renderQemuArgv, restoreArgv, vmmRoot } from './argv.js';
import { findUnheldLocks } from './disk-locks.js';
import { createQemuHandle, removeSockets } from './handle.js';
import { launchError, missingBinary, readLogTail } from './launch-error.js';
import { connectQmp, type QmpClient } from './qmp.js';
import { runState, type StateStream, stateLoaded, streamIncomingState } from './restore.js';
import { MEMORY_PART, removeSaveSocket } from './save.js';
import { hostTscKhz } from './tsc.js';
import { createVersionReader, findProgram } from './version.js';

const READY_WITHIN_MS = 30_000;
const ADOPT_WITHIN_MS = 3_000;
const CONNECT_AGAIN_MS = 4;
const ENDS_WITHIN_MS = 500;
/** Nothing of hostd's environment reaches a VMM. */
const VMM_ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const;

/** The largest file that QEMU reads by itself: while it does, it answers no command. */
const MAX_SAVED_FILE_BYTES = 2 * 2 ** 30;
/** What a QEMU needs beside the guest's memory: its own code and buffers; under TCG also the translated code. */
const MEMORY_OVERHEAD_MIB = { kvm: 192, tcg: 512 } as const;
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
      const inputs = { memory: null, origin: null, passphrase };
      const handle = await launchQemu(how, argv, spec, attach, inputs);
      logger?.debug(timed(handle, begun), 'launched QEMU, paused');
      return handle;
    },
    restore: async (spec, attach, saved) => {
      const begun = performance.now();
      await checkHost(spec);
      const argv = restoreArgv(spec, parseState(saved.driverState)?.argv ?? []);
      const memory = memoryOf(saved, spec.vmId);
      const inputs = { memory, origin: saved.origin, passphrase: saved.passphrase ?? null };
      const handle = await launchQemu(how, argv, spec, attach, inputs);
      logger?.debug(timed(handle, begun), 'restored QEMU, paused');
      return handle;
    },
    adopt: (record) => adoptQemu(record, boundLog),
  };
}

/** What is recorded of a QEMU beside what every driver records. */
interface QemuState extends DriverState {
  /** Program first. */
  readonly argv: readonly string[];
}

/** Null when another driver wrote it, or it is damaged. */
function parseState({ argv }: DriverState): QemuState | null {
  return Array.isArray(argv) && argv.every((argument) => typeof argument === 'string') ? { argv } : null;
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

/** What a QEMU is launched with besides its arguments. */
interface LaunchInputs {
  /** The saved memory that it goes on with; null: it boots. */
  readonly memory: RestoredPart | null;
  /** What the memory was saved with; null: it boots. */
  readonly origin: VmOrigin | null;
  readonly passphrase: string | null;
}

type LaunchOptions = Required<Omit<QemuVmmOptions, 'logger'>>;

async function launchQemu(
  how: LaunchOptions,
  argv: readonly string[],
  spec: VmSpec,
  attach: (pid: number) => Promise<void>,
  inputs: LaunchInputs,
): Promise<VmHandle> {
  const { memory, origin } = inputs;
  await removeSockets(spec);
  await makeRoot(spec);
  const { child, logOffset } = await spawnQemu(how, argv, spec, inputs);
  const childExit = once(child, 'exit').then(
    ([exitCode, signal]: (number | string | null)[]): VmExit => ({
      exitCode: typeof exitCode === 'number' ? exitCode : null,
      signal: typeof signal === 'string' ? signal : null,
    }),
  );
  const pid = child.pid as number;
  const startTimeTicks = await readStartTime(pid);
  const fail = async (what: string, cause?: unknown): Promise<CodedError> =>
    launchError({ vmId: spec.vmId, what, logTail: await readLogTail(spec.vmmLogPath, logOffset), cause });
  let qmp: QmpClient | null = null;
  let streaming: StateStream | null = null;
  try {
    if (startTimeTicks === null) throw await fail(ending(await childExit));
    await attach(pid);
    if (memory !== null)
      streaming = memory.file === null ? streamIncomingState(child, memory.bytes) : Promise.resolve(null);
    const [connected, hostBootId] = await Promise.all([
      readyQmp(qmpSocketPath(spec), childExit, fail),
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
      // A QEMU that loaded its state and could not lock a disk is paused all the same, and fails only when it is let run:
      // by then the snapshot is used up.
      const unheld = (await findUnheldLocks(pid, spec.drives)).map(({ id }) => id).join(', ');
      if (unheld !== '') throw await fail(`failed to get its lock alone on: ${unheld}`);
    }
    await verifyConfinement(pid, { uid: spec.uid, gid: spec.gid, rootPath: vmmRoot(spec) });
    const shared = how.namespaces === 'own' ? await findSharedNamespace(pid) : null;
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
      child: { exit: childExit, detach: () => child.unref() },
    });
  } catch (error) {
    qmp?.close();
    // A process that is ending is in no cgroup a moment before it is gone.
    if (isCodedError(error) && error.reason === 'cgroup.not_attached')
      await Promise.race([childExit, sleep(ENDS_WITHIN_MS)]);
    const endedByItself = startTimeTicks === null || !(await isAlive({ pid, startTimeTicks }));
    const reported =
      endedByItself && !isLaunchError(error) ? await fail(ending(await childExit), error) : error;
    if (startTimeTicks !== null) await killProcess({ pid, startTimeTicks });
    await removeSockets(spec);
    // An image that cannot be read (damaged, or sealed with another key) is why QEMU was not content with it.
    const unreadable = await streaming;
    if (isCodedError(unreadable)) throw unreadable;
    throw isCodedError(reported) ? reported : await fail(String(reported), reported);
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

/** Throws `vmm.restore_failed` when what was saved is not what a QEMU saves. */
function memoryOf({ parts }: SavedVm, vmId: string): RestoredPart {
  const [memory, ...others] = parts;
  if (memory?.name === MEMORY_PART && others.length === 0) return memory;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.restore_failed',
    message: `cannot restore the VM ${vmId}: a saved QEMU is one part, ${MEMORY_PART}, and not ${parts.map(({ name }) => name).join(', ') || 'none'}`,
    details: { vm_id: vmId },
  });
}

/** Whether the error says why the launch failed. A process that has ended is in no cgroup, which says nothing. */
function isLaunchError(error: unknown): boolean {
  if (!isCodedError(error) || error.reason === 'cgroup.not_attached') return false;
  return error.details.vm_id !== undefined || error.reason.startsWith('cgroup.');
}

/** PRIVILEGE: root, for the TAP device, the disks, and then for giving root up (`-runas`, `-chroot`). */
async function spawnQemu(
  { binary, namespaces, logLimitBytes }: LaunchOptions,
  argv: readonly string[],
  spec: VmSpec,
  inputs: LaunchInputs,
): Promise<{ child: ChildProcess; logOffset: number }> {
  if (inputs.passphrase === null && spec.drives.some(({ cipher }) => cipher !== undefined))
    throw new Error(`VM ${spec.vmId} has an encrypted drive, and no passphrase was given for it`);
  // Found in hostd's PATH, not in the VMM's.
  const program = await findProgram(binary);
  if (program === null) throw missingBinary(binary);
  const fileBytes = await fileSizeLimit(spec, logLimitBytes);
  let log: FileHandle;
  try {
    log = await open(spec.vmmLogPath, 'a', 0o600);
  } catch (error) {
    throw fromFileError(error, `cannot open ${spec.vmmLogPath}`);
  }
  const { memory, passphrase } = inputs;
  let image: FileHandle | null = null;
  let passphraseFd: number | null = null;
  let tapFd: number | null = null;
  try {
    const logOffset = (await log.stat()).size;
    if (memory !== null && memory.file !== null) image = await openImage(memory.file);
    const input = image === null ? ('pipe' as const) : image.fd;
    // SAFETY: an argument vector, no shell; every path is hostd's own. `detached` is setsid(2): signals to our session
    // or terminal do not reach it.
    keepDescriptors();
    passphraseFd = passphrase === null ? null : pipeWith(passphrase);
    tapFd = openTap(spec);
    // 3: a saved VM's state. 4: the passphrase, PASSPHRASE_FD. 5: the TAP, TAP_FD.
    const stdio = [
      'ignore',
      log.fd,
      log.fd,
      memory === null ? 'ignore' : input,
      passphraseFd ?? 'ignore',
      tapFd,
    ];
    const start = (): ChildProcess =>
      spawn(program, argv, {
        argv0: binary,
        cwd: '/',
        detached: true,
        env: VMM_ENVIRONMENT,
        stdio: stdio as StdioOptions,
      });
    const child = namespaces === 'own' ? inOwnNamespaces(start) : start();
    // A child that could not be started has no pid, and says so by an event.
    if (child.pid !== undefined) limitChild(child, child.pid, fileBytes);
    try {
      await once(child, 'spawn');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EACCES') throw missingBinary(binary, error);
      const exhausted = noProcesses(binary, error);
      if (exhausted !== null) throw exhausted;
      throw launchError({ vmId: spec.vmId, what: `${binary} does not start`, logTail: '', cause: error });
    }
    return { child, logOffset };
  } finally {
    await image?.close();
    for (const fd of [passphraseFd, tapFd]) if (fd !== null) closeSync(fd);
    await log.close();
  }
}

/** Limits it at once, while it is still root: limiting another user's process takes CAP_SYS_RESOURCE. Ends it when it cannot. */
function limitChild(child: ChildProcess, pid: number, fileBytes: number): void {
  try {
    limitProcess(pid, fileBytes);
  } catch (error) {
    child.on('error', () => {});
    child.kill('SIGKILL');
    throw error;
  }
}

/** Throws `net.tap_busy`, or `vmm.launch_failed` with the kernel's reason. */
function openTap({ vmId, net }: VmSpec): number {
  try {
    return openTapDescriptor(net.tapName, { offload: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const what =
      why === 'EBUSY' ? `/dev/net/tun (${net.tapName}): ${why}` : `cannot open ${net.tapName}: ${why}`;
    throw launchError({ vmId, what, logTail: '', cause: error });
  }
}

/** SAFETY: opened before privileges are dropped, for reading only; QEMU learns nothing but the memory that it had. */
async function openImage(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    throw fromFileError(error, `cannot open ${path}`);
  }
}

/** The reading end of a pipe that holds the text and ends after it: read once, it is empty. */
function pipeWith(text: string): number {
  const { readFd, writeFd } = makePipe();
  writeSync(writeFd, text);
  closeSync(writeFd);
  return readFd;
}

/** Connects as soon as QEMU answers; fails at once when it ends first. */
async function readyQmp(
  path: string,
  childExit: Promise<VmExit>,
  fail: (what: string, cause?: unknown) => Promise<CodedError>,
): Promise<QmpClient> {
  let ended: VmExit | null = null;
  void childExit.then((exit) => {
    ended = exit;
  });
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    try {
      return await connectQmp({ path, timeoutMs: Math.max(1, deadline - performance.now()) });
    } catch (error) {
      if (ended !== null) throw await fail(ending(ended), error);
      if (performance.now() > deadline)
        throw await fail(`it is not ready after ${READY_WITHIN_MS / 1000} s`, error);
    }
    await sleep(CONNECT_AGAIN_MS);
  }
}

function ending({ exitCode, signal }: VmExit): string {
  return signal === null ? `QEMU ended with exit code ${exitCode}` : `QEMU was ended by ${signal}`;
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
    return createQemuHandle({ record, qmp, boundLog, child: null });
  } catch (error) {
    if (!(await isAlive(record))) return null;
    throw error;
  }
}
