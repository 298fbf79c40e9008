import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { fromFileError } from '../../state/fs-error.js';
import { noProcesses } from '../../system/spawn-error.js';
import type { BoundLog } from '../process/bound-log.js';
import { openLocked } from '../process/disk-locks.js';
import { findProgram } from '../process/find-program.js';
import { keepDescriptors } from '../process/keep-descriptors.js';
import { launchError } from '../process/launch-error.js';
import { inOwnNamespaces, WITH_MOUNTS } from '../process/namespaces.js';
import { fileSizeLimit, VMM_LIMITS } from '../process/resource-limits.js';
import type { VmSpec } from '../vmm.js';
import { buildJail, type JailFile, type JailOptions, jailerArgv, mibBytes } from './jail.js';
import type { Programs } from './program.js';

/** Nothing of hostd's environment reaches a VMM. */
const VMM_ENVIRONMENT = { LC_ALL: 'C' } as const;

/** How this host launches its Firecrackers. */
export interface LaunchOptions {
  readonly programs: () => Promise<Programs>;
  readonly logLimitBytes: number;
  readonly boundLog: BoundLog;
}

export interface SpawnOptions extends Programs {
  readonly logLimitBytes: number;
  readonly spec: VmSpec;
  readonly files: readonly JailFile[];
  readonly reason: 'vmm.launch_failed' | 'vmm.restore_failed';
}

/** PRIVILEGE: root, for the jail and for then giving root up. Returns where console and log stood before. */
export async function spawnJailer(
  options: SpawnOptions,
): Promise<{ child: ChildProcess; marks: { log: number; console: number } }> {
  const { logLimitBytes, jailer, firecracker, spec, files, reason } = options;
  // A snapshot is as large as the guest's memory; a Firecracker that may not write as much dies of it.
  const fileBytes = Math.max(await fileSizeLimit(spec, logLimitBytes), mibBytes(spec.memMib));
  const { vmId, uid, gid, socketDir, memMib } = spec;
  const jail: JailOptions = { vmId, uid, gid, socketDir, memMib, program: firecracker.path, files };
  // The jailer gives root up before anybody could limit it from outside.
  const prlimit = await findProgram('prlimit');
  if (prlimit === null) throw missingTool();
  const limits = [`--fsize=${fileBytes}`, ...VMM_LIMITS];
  const disk = await lockDisk(spec);
  const opened = openLogs(spec.vmmLogPath, spec.consolePath);
  const [log, console_] = await opened.catch(async (error: unknown) => {
    await disk?.close();
    throw error;
  });
  try {
    const marks = { log: (await log.stat()).size, console: (await console_.stat()).size };
    keepDescriptors();
    const child = inOwnNamespaces(WITH_MOUNTS, () => {
      buildJail(jail);
      // This thread has a umask of its own by now, which the jailer inherits.
      const umask = process.umask(0o077);
      try {
        // SAFETY: an argument vector, no shell; every path is hostd's own. `detached` is setsid(2): signals to our
        // session or terminal do not reach it.
        return spawn(prlimit, [...limits, jailer.path, ...jailerArgv(jail, fileBytes)], {
          argv0: 'jailer',
          cwd: '/',
          detached: true,
          env: VMM_ENVIRONMENT,
          // The guest's console is Firecracker's standard output. Its standard input, which it reads only from a terminal or
          // a FIFO, keeps the lock on the disk: until the process has ended, and not a moment longer.
          stdio: [disk === null ? 'ignore' : disk.fd, console_.fd, log.fd],
        });
      } finally {
        process.umask(umask);
      }
    });
    try {
      await once(child, 'spawn');
    } catch (cause) {
      const exhausted = noProcesses(jailer.path, cause);
      if (exhausted !== null) throw exhausted;
      throw launchError({ vmId, what: `${jailer.path} does not start`, reason, cause });
    }
    return { child, marks };
  } finally {
    await disk?.close();
    await log.close();
    await console_.close();
  }
}

/** The only drive that a VM writes, opened and locked; null when it writes none. */
async function lockDisk(spec: VmSpec): Promise<FileHandle | null> {
  const [disk, ...others] = spec.drives.filter(({ readOnly }) => !readOnly);
  if (others.length > 0) throw new Error(`VM ${spec.vmId} has more than one writable drive`);
  return disk === undefined ? null : await openLocked(disk, spec);
}

function missingTool(): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: 'prlimit is not installed, which a Firecracker is limited with',
    hint: 'Install it: apt-get install util-linux',
  });
}

async function openLogs(...paths: [string, string]): Promise<[FileHandle, FileHandle]> {
  const opened: FileHandle[] = [];
  for (const path of paths) {
    try {
      opened.push(await open(path, 'a', 0o600));
    } catch (error) {
      for (const file of opened) await file.close();
      throw fromFileError(error, `cannot open ${path}`);
    }
  }
  return opened as [FileHandle, FileHandle];
}
