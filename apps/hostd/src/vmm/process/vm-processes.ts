import { readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listPids, readArgv } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { parseTapName } from '@mvm/protocol/names';

/** Processes of VMMs, found by the socket directory in their arguments. */
export interface VmProcesses {
  /** Pids of the VMMs that use the socket directory of `vmId`; of all VMs of ours when it is null. */
  find(vmId: string | null): Promise<readonly { readonly pid: number; readonly vmId: string }[]>;
  /** SIGKILL, and wait until they are gone. */
  kill(vmId: string): Promise<void>;
}

const GONE_WITHIN_MS = 5_000;

/** The TAP name in the first argument that holds a path below `vmSocketsDir`, or null. Pure. */
export function vmIdInArguments(argv: readonly string[], vmSocketsDir: string): string | null {
  const prefix = `${vmSocketsDir}/`;
  for (const argument of argv) {
    const at = argument.indexOf(prefix);
    if (at < 0) continue;
    const name = argument.slice(at + prefix.length).split(/[/,]/, 1)[0] ?? '';
    if (parseTapName(name) !== null) return name;
  }
  return null;
}

/** User ids of VMs: `vmUidBase` and the 1 048 575 after it. */
export const VM_UIDS = 1_048_576;

/** The user that a process is in every respect, out of its /proc status; null when its ids differ. Pure. Source: proc(5). */
export function soleUid(status: string): number | null {
  const ids = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$/m.exec(status)?.slice(1) ?? [];
  return ids.length > 0 && ids.every((id) => id === ids[0]) ? Number(ids[0]) : null;
}

/**
 * The VMMs of this host that use our run directory, found by /proc alone: what a crash left without a record is found
 * nevertheless. Only the driver's programs whose arguments name a socket below `vmSocketsDir` are touched, and of those
 * only such as we start: with a VM's user id, or, before they have given root up, root's in our own mount namespace.
 * Arguments alone are whatever any local user writes.
 */
export function createVmProcesses(
  vmSocketsDir: string,
  vmUidBase: number,
  isVmmProgram: (name: string) => boolean,
): VmProcesses {
  /** PRIVILEGE: links in /proc of other users' processes. */
  const isStartedByUs = async (pid: number): Promise<boolean> => {
    const uid = soleUid(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''));
    if (uid === null) return false;
    if (uid >= vmUidBase && uid < vmUidBase + VM_UIDS) return true;
    if (uid !== 0) return false;
    const link = async (of: number | 'self', name: string): Promise<string | null> =>
      await readlink(`/proc/${of}/${name}`).catch(() => null);
    // One that an upgrade has replaced is `<path> (deleted)`.
    const exe = basename((await link(pid, 'exe')) ?? '').replace(/ \(deleted\)$/, '');
    return isVmmProgram(exe) || (await link(pid, 'ns/mnt')) === (await link('self', 'ns/mnt'));
  };
  const vmOf = async (pid: number): Promise<string | null> => {
    const argv = (await readArgv(pid)) ?? [];
    // Anything else with such an argument (an editor, a test) is left alone.
    if (!isVmmProgram(basename(argv[0] ?? ''))) return null;
    const vmId = vmIdInArguments(argv, vmSocketsDir);
    return vmId !== null && (await isStartedByUs(pid)) ? vmId : null;
  };
  const find: VmProcesses['find'] = async (vmId) => {
    const found: { pid: number; vmId: string }[] = [];
    for (const pid of await listPids()) {
      const owner = await vmOf(pid);
      if (owner !== null && (vmId === null || owner === vmId)) found.push({ pid, vmId: owner });
    }
    return found;
  };
  return {
    find,
    kill: async (vmId) => {
      const deadline = performance.now() + GONE_WITHIN_MS;
      for (;;) {
        const left = await find(vmId);
        if (left.length === 0) return;
        for (const { pid } of left) {
          try {
            // PRIVILEGE: the VMM runs as another user. SAFETY: `find` has just seen a VMM program of ours with our socket
            // in its arguments under this pid.
            process.kill(pid, 'SIGKILL');
          } catch {
            // Gone meanwhile; the next round sees.
          }
        }
        if (performance.now() > deadline) {
          throw new CodedError({
            code: 'internal',
            reason: 'vmm.unkillable',
            message: `the VMM of ${vmId} (pid ${left[0]?.pid}) does not end`,
            hint: 'A process that ignores SIGKILL waits for the kernel: look for disk errors in the kernel log.',
          });
        }
        await sleep(20);
      }
    },
  };
}
