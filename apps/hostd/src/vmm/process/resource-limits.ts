import { writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { errnoOf, fromFileError } from '../../state/fs-error.js';
import { lastErrorName, prlimit } from '../../system/libc.js';
import type { VmSpec } from '../vmm.js';

// Source: linux/resource.h.
const RLIMIT_FSIZE = 1;
const RLIMIT_CORE = 4;
const RLIMIT_NOFILE = 7;
const RLIMIT_MEMLOCK = 8;
const RLIMIT_MSGQUEUE = 12;

/** A VMM opens its drives, sockets and a few event descriptors for each device. */
export const VMM_OPEN_FILES = 256;
/** The same limits as `limitProcess` sets, but that of files, as prlimit(1) takes them. */
export const VMM_LIMITS = [`--nofile=${VMM_OPEN_FILES}`, '--core=0', '--memlock=0', '--msgqueue=0'] as const;
/** The least size that a file of a VMM may have: its logs, which hostd shortens, share the limit with its volumes. */
const LEAST_FILE_BYTES = 64 * 1_048_576;

/**
 * The largest file that a VMM may make or grow: its largest writable volume as it is now, or its logs at twice what hostd
 * keeps of them. Throws what reading a file does, as `CodedError`.
 */
export async function fileSizeLimit(
  { drives }: Pick<VmSpec, 'drives'>,
  logLimitBytes: number,
): Promise<number> {
  let limit = Math.max(LEAST_FILE_BYTES, 2 * logLimitBytes);
  for (const { path } of drives.filter(({ readOnly }) => !readOnly)) {
    const { size } = await stat(path).catch((error: unknown) => {
      throw fromFileError(error, `cannot look at ${path}`);
    });
    limit = Math.max(limit, size);
  }
  return limit;
}

/**
 * Limits a VMM that has just been started, before its guest runs: size of its files, open files, no core file, no locked
 * memory, no message queues; and lets the kernel end it when memory runs out as readily as any process, also where hostd
 * is spared. Throws `internal`, reason `vmm.limit_refused`. PRIVILEGE: CAP_SYS_RESOURCE, for another user's process. SAFETY:
 * the pid is our own child's, which is not reaped before its exit is reported.
 */
export function limitProcess(pid: number, fileBytes: number): void {
  const limits = [
    ['RLIMIT_FSIZE', RLIMIT_FSIZE, BigInt(fileBytes)],
    ['RLIMIT_NOFILE', RLIMIT_NOFILE, BigInt(VMM_OPEN_FILES)],
    ['RLIMIT_CORE', RLIMIT_CORE, 0n],
    ['RLIMIT_MEMLOCK', RLIMIT_MEMLOCK, 0n],
    ['RLIMIT_MSGQUEUE', RLIMIT_MSGQUEUE, 0n],
  ] as const;
  for (const [name, resource, limit] of limits) {
    if (prlimit(pid, resource, limit) === 0) continue;
    const errno = lastErrorName();
    // It has ended; its exit says why.
    if (errno === 'ESRCH') return;
    throw refused(name, pid, errno);
  }
  try {
    // Source: proc(5). Inherited from hostd until then.
    writeFileSync(`/proc/${pid}/oom_score_adj`, '0');
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown error';
    if (errno !== 'ENOENT' && errno !== 'ESRCH') throw refused('oom_score_adj', pid, errno);
  }
}

function refused(limit: string, pid: number, errno: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.limit_refused',
    message: `the kernel refuses ${limit} of the VMM (pid ${pid}): ${errno}`,
    hint: 'hostd needs CAP_SYS_RESOURCE: compare its unit with the one that is shipped.',
    details: { pid, errno },
  });
}
