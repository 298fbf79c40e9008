import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { CodedError, isCodedError } from '@mvm/protocol';
import type { SavedPart, VmRecord } from '../vmm.js';
import type { ApiRequest } from './api.js';
import { makeJailFile, throughJail } from './jail.js';
import { JAIL, MEMORY_PART, VMSTATE_PART } from './machine.js';

/** For a guest's whole memory, into memory. */
const SAVED_WITHIN_MS = 300_000;
const PIECE_BYTES = 1_048_576;

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

/** Two files that Firecracker may write in a directory where it can make none. What it writes counts as its VM's memory. */
async function makeFiles({ pid, spec }: VmRecord): Promise<{ remove(): Promise<void> }> {
  const remove = async (): Promise<void> => {
    // Of a process that has ended the jail is gone as well.
    for (const name of [JAIL.vmstate, JAIL.memory])
      await rm(throughJail(pid, name), { force: true }).catch(() => {});
  };
  try {
    await remove();
    for (const name of [JAIL.vmstate, JAIL.memory]) await makeJailFile(pid, name, spec);
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

function saveFailed(vmId: string, cause: unknown): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.save_failed',
    message: `the VM ${vmId} cannot be saved: ${cause instanceof Error ? cause.message : String(cause)}`,
    hint: 'The instance keeps running. Look at free memory and the VMM’s log.',
    details: { vm_id: vmId },
    cause,
  });
}
