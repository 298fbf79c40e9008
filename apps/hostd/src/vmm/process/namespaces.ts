/**
 * The namespaces that a VMM lives in, apart from the host's.
 *
 * INVARIANTS
 * - This thread is in namespaces of its own only within `inOwnNamespaces`, in which nothing is awaited: no other code of
 *   hostd ever runs in this thread then. Files are read by other threads, which stay in the host's namespaces: what reads
 *   /proc names `thread-self`, for `self` is this thread.
 * - A hostd that could not return to its own namespaces ends: it would set up networks where no guest is.
 * - A mount namespace costs this thread its share in the process's working directory and umask, for good: both are put
 *   back as they were, and hostd changes neither.
 */
import { closeSync, openSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { chroot, fchdir, lastErrorName, mount, setns, unshare } from '../../system/libc.js';

// Source: linux/sched.h, linux/mount.h.
const KINDS = { net: 0x40000000, ipc: 0x08000000, pid: 0x20000000, mnt: 0x00020000 } as const;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x40000;

/** A kind of namespace, as in /proc/<pid>/ns. */
export type NamespaceKind = keyof typeof KINDS;

/** A VMM that is given its TAP, sockets and files as descriptors or by paths of the host. */
export const WITHOUT_NETWORK: readonly NamespaceKind[] = ['net', 'ipc', 'pid'];
/** A VMM that opens its TAP by name, and whose files are mounted for it alone. */
export const WITH_MOUNTS: readonly NamespaceKind[] = ['mnt', 'ipc', 'pid'];

/**
 * Calls `spawn`, which must start one process and return at once: that process is alone in new namespaces of these
 * `kinds`, of a pid namespace the first. What `spawn` mounts is there for it alone, and gone with it. Throws
 * `failed_precondition`, reason `vmm.namespaces_refused`, and what `spawn` throws.
 * PRIVILEGE: CAP_SYS_ADMIN, for unshare(2), setns(2) and mount(2); CAP_SYS_CHROOT to return from a mount namespace.
 */
export function inOwnNamespaces<T>(kinds: readonly NamespaceKind[], spawn: () => T): T {
  // Source: namespaces(7), pid_namespaces(7): of the pid namespace, only children are in the new one.
  const ours: { readonly fd: number; readonly flag: number }[] = [];
  const places: number[] = [];
  try {
    for (const name of kinds)
      ours.push({ fd: openSync(`/proc/thread-self/ns/${name}`, 'r'), flag: KINDS[name] });
    const hasMounts = kinds.includes('mnt');
    if (hasMounts) for (const path of ['/', '.']) places.push(openSync(path, 'r'));
    if (unshare(ours.reduce((flags, { flag }) => flags | flag, 0)) !== 0) throw refused(lastErrorName());
    try {
      // Nothing of what is mounted here reaches the host.
      if (hasMounts && mount(null, '/', null, MS_REC | MS_PRIVATE, null) !== 0)
        throw refused(lastErrorName());
      return spawn();
    } finally {
      for (const { fd, flag } of ours) if (setns(fd, flag) !== 0) process.abort();
      const [root, directory] = places;
      if (root !== undefined && directory !== undefined) {
        if (fchdir(root) !== 0 || chroot('.') !== 0 || fchdir(directory) !== 0) process.abort();
      }
    }
  } finally {
    for (const { fd } of ours) closeSync(fd);
    for (const fd of places) closeSync(fd);
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

/** The first namespace of these kinds that a process shares with the host, or null. PRIVILEGE: links in /proc of another user's process. */
export async function findSharedNamespace(
  pid: number,
  kinds: readonly NamespaceKind[],
): Promise<NamespaceKind | null> {
  for (const name of kinds) {
    const [its, ours] = await Promise.all([
      readlink(`/proc/${pid}/ns/${name}`),
      readlink(`/proc/thread-self/ns/${name}`),
    ]);
    if (its === ours) return name;
  }
  return null;
}
