import { readdir, readFile, stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { findSharedNamespace, WITH_MOUNTS } from '../process/namespaces.js';
import { findDeviation } from '../process/process-identity.js';
import type { VmSpec } from '../vmm.js';

/**
 * Checks every thread of a Firecracker: its user and groups, no capability in effect, namespaces and a root directory of its
 * own; once its guest is started also its seccomp filter, which it gets then. Throws `internal`, `vmm.not_confined`.
 * PRIVILEGE: CAP_SYS_PTRACE, for links in /proc of another user's process.
 */
export async function verifyJailed(
  pid: number,
  { uid, gid }: Pick<VmSpec, 'uid' | 'gid'>,
  { started }: { readonly started: boolean },
): Promise<void> {
  const other = { Groups: '', ...(started ? {} : { NoNewPrivs: null, Seccomp: null }) };
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8').catch(() => null);
    // A thread may end between the two reads; the others are still there to be checked.
    if (status === null) continue;
    const deviation = findDeviation(status, { uid, gid }, other);
    if (deviation !== null) throw notConfined(pid, `thread ${thread}: ${deviation}`);
  }
  const shared = await findSharedNamespace(pid, WITH_MOUNTS);
  if (shared !== null) throw notConfined(pid, `it shares the host’s ${shared} namespace`);
  const [its, ours] = await Promise.all([stat(`/proc/${pid}/root`), stat('/')]);
  if (its.dev === ours.dev && its.ino === ours.ino)
    throw notConfined(pid, 'its root directory is the host’s');
}

function notConfined(pid: number, what: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.not_confined',
    message: `the VMM (pid ${pid}) is not confined: ${what}`,
    hint: 'Use the programs of Firecracker’s release: only those have its seccomp filters.',
    details: { pid },
  });
}
