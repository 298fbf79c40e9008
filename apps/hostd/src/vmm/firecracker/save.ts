import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { CodedError, isCodedError } from '@mvm/protocol';
import { fallocate, lastErrorName } from '../../system/libc.js';
import type { SavedPart, VmRecord } from '../vmm.js';
import type { ApiRequest } from './api.js';
import { makeJailFile, mibBytes, throughJail } from './jail.js';
import { JAIL, MEMORY_PART, VMSTATE_PART } from './machine.js';

/** For a guest's whole memory, into memory. */
const SAVED_WITHIN_MS = 300_000;
const PIECE_BYTES = 1_048_576;
/** As much memory is taken at a time: other work of hostd goes on between. */
const STEP_BYTES = 64 * 1_048_576;

type Call = (request: ApiRequest) => Promise<unknown>;

/** A paused VM's two parts, as Firecracker writes them to files in memory, which are gone afterwards. */
export async function* saveFirecracker(record: VmRecord, call: Call): AsyncGenerator<SavedPart> {
  const at = (name: string): AsyncIterable<Uint8Array> =>
    createReadStream(throughJail(record.pid, name), { highWaterMark: PIECE_BYTES });
  const files = await makeFiles(record);
  try {
    await writeFiles(record, call);
    yield { name: VMSTATE_PART, bytes: at(JAIL.vmstate) };
    yield { name: MEMORY_PART, bytes: at(JAIL.memory) };
  } finally {
    await files.remove();
  }
}

/** The same, while `use` looks at the files. */
export async function takeSnapshot(record: VmRecord, call: Call, use: () => Promise<void>): Promise<void> {
  const files = await makeFiles(record);
  try {
    await writeFiles(record, call);
    await use();
  } finally {
    await files.remove();
  }
}

/** Two files that Firecracker may write in a directory where it can make none; hostd has the memory for them already. */
async function makeFiles({ pid, spec }: VmRecord): Promise<{ remove(): Promise<void> }> {
  const remove = async (): Promise<void> => {
    // Of a process that has ended the jail is gone as well.
    for (const name of [JAIL.vmstate, JAIL.memory])
      await rm(throughJail(pid, name), { force: true }).catch(() => {});
  };
  try {
    await remove();
    for (const name of [JAIL.vmstate, JAIL.memory]) await makeJailFile(pid, name, spec);
    await takeMemory(throughJail(pid, JAIL.memory), mibBytes(spec.memMib));
    return { remove };
  } catch (error) {
    await remove();
    throw isCodedError(error) ? error : saveFailed(spec.vmId, error);
  }
}

async function writeFiles({ spec: { vmId } }: VmRecord, call: Call): Promise<void> {
  try {
    await call({
      method: 'PUT',
      path: '/snapshot/create',
      body: { snapshot_path: JAIL.vmstate, mem_file_path: JAIL.memory, snapshot_type: 'Full' },
      timeoutMs: SAVED_WITHIN_MS,
    });
  } catch (error) {
    if (isCodedError(error) && error.reason === 'vmm.gone') throw error;
    throw saveFailed(vmId, error);
  }
}

/** Memory that a VM's own limit does not count: it has its guest's already. Throws `vmm.out_of_memory`. */
async function takeMemory(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (let at = 0; at < bytes; at += STEP_BYTES) {
      if (fallocate(file.fd, 0, at, Math.min(STEP_BYTES, bytes - at)) !== 0) {
        const errno = lastErrorName();
        throw new CodedError({
          code: 'resource_exhausted',
          reason: 'vmm.out_of_memory',
          message: `this host has no memory for ${bytes} bytes of a guest that is to be saved: ${errno}`,
          hint: 'A Firecracker is saved through memory: free as much on this host as the guest has.',
          details: { errno },
        });
      }
      await setImmediate();
    }
  } finally {
    await file.close();
  }
}

function saveFailed(vmId: string, cause: unknown): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.save_failed',
    message: `the VM ${vmId} cannot be saved: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: 'The instance goes on. Look at free memory and the VMM’s log.',
    details: { vm_id: vmId },
    cause,
  });
}
