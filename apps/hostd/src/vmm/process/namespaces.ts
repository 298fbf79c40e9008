/**
 * The namespaces that a VMM lives in, apart from the host's: network, pid, ipc.
 *
 * INVARIANTS
 * - This thread is in namespaces of its own only within `inOwnNamespaces`, in which nothing is awaited: no other code of
 *   hostd ever runs in this thread then. Files are read by other threads, which stay in the host's namespaces: what reads
 *   /proc names `thread-self`, for `self` is this thread.
 * - A hostd that could not return to its own namespaces ends: it would set up networks where no guest is.
 */
import { closeSync, openSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { lastErrorName, setns, unshare } from '../../system/libc.js';

// Source: linux/sched.h.
const CLONE_NEWIPC = 0x08000000;
const CLONE_NEWPID = 0x20000000;
const CLONE_NEWNET = 0x40000000;
const KINDS = [
  { name: 'net', flag: CLONE_NEWNET },
  { name: 'ipc', flag: CLONE_NEWIPC },
  { name: 'pid', flag: CLONE_NEWPID },
] as const;

/**
 * Calls `spawn`, which must start one process and return at once: that process is alone in a new network, ipc and pid
 * namespace, of the last its first. Throws `failed_precondition`, reason `vmm.namespaces_refused`, and what `spawn` throws.
 * PRIVILEGE: CAP_SYS_ADMIN, for unshare(2) and setns(2).
 */
export function inOwnNamespaces<T>(spawn: () => T): T {
  // Source: namespaces(7), pid_namespaces(7): of the pid namespace, only children are in the new one.
  const ours: { readonly fd: number; readonly flag: number }[] = [];
  try {
    for (const { name, flag } of KINDS)
      ours.push({ fd: openSync(`/proc/thread-self/ns/${name}`, 'r'), flag });
    if (unshare(KINDS.reduce((flags, { flag }) => flags | flag, 0)) !== 0) throw refused(lastErrorName());
    try {
      return spawn();
    } finally {
      for (const { fd, flag } of ours) if (setns(fd, flag) !== 0) process.abort();
    }
  } finally {
    for (const { fd } of ours) closeSync(fd);
  }
}

function refused(errno: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.namespaces_refused',
    message: `cannot make namespaces for a VMM: ${errno}`,
    hint: 'Give hostd CAP_SYS_ADMIN and allow it namespaces (mvm-hostd.service as it is shipped does), or set vm_namespaces to "host", which leaves its VMMs in the host’s network.',
    details: { errno },
  });
}

/** The first namespace that a process shares with the host, or null. PRIVILEGE: links in /proc of another user's process. */
export async function findSharedNamespace(pid: number): Promise<string | null> {
  for (const { name } of KINDS) {
    const [its, ours] = await Promise.all([
      readlink(`/proc/${pid}/ns/${name}`),
      readlink(`/proc/thread-self/ns/${name}`),
    ]);
    if (its === ours) return name;
  }
  return null;
}
