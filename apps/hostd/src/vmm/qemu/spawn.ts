import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf, fromFileError } from '../../state/fs-error.js';
import { makePipe } from '../../system/libc.js';
import { noProcesses } from '../../system/spawn-error.js';
import { openTapDescriptor } from '../../system/tap.js';
import { findProgram } from '../process/find-program.js';
import { keepDescriptors } from '../process/keep-descriptors.js';
import { launchError } from '../process/launch-error.js';
import { inOwnNamespaces, WITHOUT_NETWORK } from '../process/namespaces.js';
import { fileSizeLimit, limitProcess } from '../process/resource-limits.js';
import type { RestoredPart, VmOrigin, VmSpec } from '../vmm.js';
import { missingBinary } from './version.js';

/** Nothing of hostd's environment reaches a VMM. */
const VMM_ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const;

/** How QEMU is started, for all VMs alike. */
export interface SpawnOptions {
  /** A program's name, or its absolute path. */
  readonly binary: string;
  readonly namespaces: 'own' | 'host';
  readonly logLimitBytes: number;
}

/** What a QEMU is launched with besides its arguments. */
export interface LaunchInputs {
  /** The saved state that it goes on with; null: it boots. */
  readonly state: RestoredPart | null;
  /** The file that its guest's memory is mapped from; null: the state has the memory in it, or there is none. */
  readonly memoryFile: string | null;
  /** What the firmware had in memory; null: the state has it in it, or there is none. */
  readonly firmware: RestoredPart | null;
  /** What the state was saved with; null: it boots. */
  readonly origin: VmOrigin | null;
  readonly passphrase: string | null;
}

/** PRIVILEGE: root, for the TAP device, the disks, and then for giving root up (`-runas`, `-chroot`). */
export async function spawnQemu(
  { binary, namespaces, logLimitBytes }: SpawnOptions,
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
  const { state, memoryFile, passphrase } = inputs;
  let image: FileHandle | null = null;
  let mapped: FileHandle | null = null;
  let passphraseFd: number | null = null;
  let tapFd: number | null = null;
  try {
    const logOffset = (await log.stat()).size;
    if (state !== null && state.file !== null) image = await openImage(state.file);
    if (memoryFile !== null) mapped = await openImage(memoryFile);
    const input = image === null ? ('pipe' as const) : image.fd;
    // SAFETY: an argument vector, no shell; every path is hostd's own. `detached` is setsid(2): signals to our session
    // or terminal do not reach it.
    keepDescriptors();
    passphraseFd = passphrase === null ? null : pipeWith(passphrase);
    tapFd = openTap(spec);
    // 3: a saved VM's state. 4: the passphrase, PASSPHRASE_FD. 5: the TAP, TAP_FD.
    // 6: the memory, MAPPED_MEMORY_FD.
    const stdio = [
      'ignore',
      log.fd,
      log.fd,
      state === null ? 'ignore' : input,
      passphraseFd ?? 'ignore',
      tapFd,
      ...(mapped === null ? [] : [mapped.fd]),
    ];
    const start = (): ChildProcess =>
      spawn(program, argv, {
        argv0: binary,
        cwd: '/',
        detached: true,
        env: VMM_ENVIRONMENT,
        stdio: stdio as StdioOptions,
      });
    const child = namespaces === 'own' ? inOwnNamespaces(WITHOUT_NETWORK, start) : start();
    // A child that could not be started has no pid, and says so by an event.
    if (child.pid !== undefined) limitChild(child, child.pid, fileBytes);
    try {
      await once(child, 'spawn');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EACCES') throw missingBinary(binary, error);
      const exhausted = noProcesses(binary, error);
      if (exhausted !== null) throw exhausted;
      throw launchError({ vmId: spec.vmId, what: `${binary} does not start`, cause: error });
    }
    return { child, logOffset };
  } finally {
    await image?.close();
    await mapped?.close();
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
    throw launchError({ vmId, what, cause: error });
  }
}

/**
 * SAFETY: opened before privileges are dropped, for reading only; QEMU learns nothing but the memory that it had. One that
 * maps it opens it once more, for writing, as it starts: a VMM that was broken out of can change its own snapshot.
 */
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
