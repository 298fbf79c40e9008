import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CodedError } from '@mvm/protocol';
import { findProgram } from '../process/find-program.js';
import type { RestoredPart, SavedVm, VmSpec } from '../vmm.js';
import type { FirecrackerApi } from './api.js';
import { type JailFile, makeJailFile, mibBytes, throughJail } from './jail.js';
import { JAIL, SAVED_PARTS } from './machine.js';

const LOADED_WITHIN_MS = 300_000;

/** The two parts of a saved VM. Throws `vmm.restore_failed` when it has others. */
export function partsOf(
  { parts }: SavedVm,
  vmId: string,
): { readonly vmstate: RestoredPart; readonly memory: RestoredPart } {
  const [vmstate, memory] = parts;
  const names = parts.map(({ name }) => name);
  if (vmstate !== undefined && memory !== undefined && names.join() === SAVED_PARTS.join())
    return { vmstate, memory };
  throw restoreFailed(
    vmId,
    `a saved Firecracker is ${SAVED_PARTS.join(' and ')}, and not ${names.join(', ') || 'nothing'}`,
  );
}

/** A memory that is a file already is mapped where it is: its pages are read as the guest touches them. */
export function memoryFile({ file }: RestoredPart): JailFile[] {
  return file === null ? [] : [{ name: JAIL.loadedMemory, source: file, readOnly: true }];
}

/**
 * Brings the parts into the jail and loads them: the guest is paused where it was saved. What was unpacked or decrypted
 * is kept in memory alone, for as long as the VM lives: its memory is mapped from there. Throws what reading the parts
 * does, `vmm.restore_failed`, and what the API does.
 */
export async function loadSnapshot(
  api: FirecrackerApi,
  pid: number,
  spec: VmSpec,
  { vmstate, memory }: { readonly vmstate: RestoredPart; readonly memory: RestoredPart },
  attach: Attach,
): Promise<void> {
  await bring(pid, JAIL.loadedVmstate, spec, vmstate, attach);
  if (memory.file === null) {
    const bytes = await bring(pid, JAIL.loadedMemory, spec, memory, attach);
    if (bytes !== mibBytes(spec.memMib))
      throw restoreFailed(spec.vmId, `its memory has ${bytes} bytes instead of ${spec.memMib} MiB`);
  }
  await api.call({
    method: 'PUT',
    path: '/snapshot/load',
    body: {
      snapshot_path: JAIL.loadedVmstate,
      mem_backend: { backend_type: 'File', backend_path: JAIL.loadedMemory },
      resume_vm: false,
    },
    timeoutMs: LOADED_WITHIN_MS,
  });
  // What is mapped stays; it cannot be opened again.
  await rm(throughJail(pid, JAIL.loadedVmstate), { force: true });
  if (memory.file === null) await rm(throughJail(pid, JAIL.loadedMemory), { force: true });
}

type Attach = (pid: number) => Promise<void>;

/** Writes a part by a process in the VM's cgroup: its memory is the VM's, and counts there. Its size in bytes. */
async function bring(
  pid: number,
  name: string,
  spec: VmSpec,
  part: RestoredPart,
  attach: Attach,
): Promise<number> {
  await makeJailFile(pid, name, spec);
  const path = throughJail(pid, name);
  const dd = await findProgram('dd');
  if (dd === null) throw restoreFailed(spec.vmId, 'dd is not installed (coreutils)');
  // SAFETY: an argument vector, no shell. PRIVILEGE: CAP_SYS_PTRACE, for a path through /proc of another user's process.
  const child = spawn(dd, [`of=${path}`, 'bs=1M', 'conv=notrunc', 'status=none'], {
    env: { LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  let bytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of part.bytes) {
      bytes += piece.byteLength;
      yield piece;
    }
  };
  try {
    await once(child, 'spawn');
    await attach(child.pid as number);
    await pipeline(Readable.from(counted(), { objectMode: false }), child.stdin);
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    // A dd that has no room closes its pipe.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EPIPE' && code !== 'ECONNRESET') throw error;
    throw restoreFailed(spec.vmId, `its ${part.name} is larger than such a VM has`, error);
  }
  const [status] = await ended;
  if (status === 0) return bytes;
  throw restoreFailed(spec.vmId, `there is no memory for its ${part.name} (dd ended with ${status})`);
}

function restoreFailed(vmId: string, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.restore_failed',
    message: `cannot restore the VM ${vmId}: ${why}`,
    hint: 'The instance stays asleep; stop it to discard its snapshot, then start it fresh.',
    details: { vm_id: vmId },
    cause,
  });
}
