/** The state of a paused QEMU without its guest's memory, and where it has that. */
import { chown, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isCodedError } from '@mvm/protocol';
import { z } from 'zod';
import type { VmRecord, VmSpec } from '../vmm.js';
import { MACHINE_NAME, vmmRoot } from './argv.js';
import { type MemoryRange, readGuestMemory } from './guest-memory.js';
import type { QmpClient } from './qmp.js';
import { parseQmpReturn } from './qmp-message.js';
import { clearPostmigrate, saveFailed } from './save.js';

/** Everything of a saved QEMU but its guest's memory: a migration stream without RAM. */
export const DEVICES_PART = 'devices';
/** The memory of the firmware. */
export const FIRMWARE_PART = 'firmware';
const FILE_NAME = 'devices';
/** That of a QEMU with our devices takes 140 kB. */
const MAX_BYTES = 32 * 2 ** 20;
const MIB = 2 ** 20;

/** The file is a QEMU's to write for one command only, and lies in memory. */
export function devicesFile(spec: Pick<VmSpec, 'socketDir'>): string {
  return join(vmmRoot(spec), FILE_NAME);
}

/**
 * The devices' state, as a QEMU takes it with `-incoming`; null when this QEMU does not write it, or in another form. QEMU, in
 * its empty root, writes it into a file that is there for as long as that takes. Errors: those of files, and of a control
 * socket that is lost. Source: QEMU 7.2, migration/savevm.c, `xen-save-devices-state`, which needs no Xen.
 */
export async function saveDevices(
  spec: Pick<VmSpec, 'socketDir' | 'uid' | 'gid'>,
  qmp: QmpClient,
): Promise<Buffer | null> {
  const path = devicesFile(spec);
  await clearPostmigrate(qmp);
  await rm(path, { force: true });
  const file = await open(path, 'wx+', 0o600);
  try {
    // PRIVILEGE: the VMM's user alone (and root) can write it.
    await chown(path, spec.uid, spec.gid);
    await qmp.execute('xen-save-devices-state', { filename: `/${FILE_NAME}`, live: false });
    const { size } = await file.stat();
    if (size > MAX_BYTES) return null;
    const state = Buffer.alloc(size);
    const { bytesRead } = await file.read(state, 0, size, 0);
    return asMigrationStream(state.subarray(0, bytesRead));
  } catch (error) {
    if (isCodedError(error) && error.reason === 'vmm.command_failed') return null;
    throw error;
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}

/** Magic number and version of a migration stream. Source: QEMU 7.2, migration/savevm.c. */
const HEADER = Buffer.from('QEVM\0\0\0\x03', 'latin1');
const FULL_SECTION = 4;
const CONFIGURATION_SECTION = 7;
const DESCRIPTION_SECTION = 6;

/**
 * The same state with the machine's name, which the command leaves out, after the header, and an empty description, which
 * `-incoming` misses, at the end. Null when it does not begin with a device. Pure.
 */
export function asMigrationStream(state: Buffer): Buffer | null {
  const begins = state.subarray(0, HEADER.length).equals(HEADER) && state[HEADER.length] === FULL_SECTION;
  if (!begins) return null;
  const name = Buffer.from(MACHINE_NAME);
  const configuration = Buffer.alloc(5);
  configuration.writeUInt8(CONFIGURATION_SECTION, 0);
  configuration.writeUInt32BE(name.length, 1);
  const description = Buffer.from([DESCRIPTION_SECTION, 0, 0, 0, 0]);
  return Buffer.concat([HEADER, configuration, name, state.subarray(HEADER.length), description]);
}

/** The guest's memory, byte for byte. Errors: `internal`, reason `vmm.save_failed`, and those of the control socket. */
export async function* saveMemory(record: VmRecord, qmp: QmpClient): AsyncGenerator<Uint8Array> {
  const { vmId, memMib } = record.spec;
  yield* readRange(record, { address: await hostAddress(vmId, 0, qmp), bytes: memMib * MIB });
}

/**
 * The memory that the firmware is in, which is no part of the guest's, and which the firmware writes to: a kernel finds its
 * tables there. Errors: as `saveMemory`.
 */
export async function* saveFirmware(record: VmRecord, qmp: QmpClient): AsyncGenerator<Uint8Array> {
  yield* readRange(record, await firmwareRange(record.spec.vmId, qmp));
}

/**
 * Puts the firmware's memory into a paused QEMU, which leaves it empty when it is restored. Throws what `saveFirmware` does,
 * and what writing does. PRIVILEGE: CAP_SYS_PTRACE, for another user's process. SAFETY: the pid is our own child's, which is
 * not reaped before its exit is reported; what is written is what the same guest had there.
 */
export async function loadFirmware(
  { pid, vmId }: { readonly pid: number; readonly vmId: string },
  qmp: QmpClient,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  const { address, bytes } = await firmwareRange(vmId, qmp);
  const memory = await open(`/proc/${pid}/mem`, 'r+');
  try {
    let at = 0;
    for await (const piece of source) {
      if (at + piece.length > bytes) throw saveFailed(vmId, 'its firmware was larger');
      for (let done = 0; done < piece.length; ) {
        const { bytesWritten } = await memory.write(piece, done, piece.length - done, address + at + done);
        done += bytesWritten;
      }
      at += piece.length;
    }
    if (at !== bytes) throw saveFailed(vmId, 'its firmware was smaller');
  } finally {
    await memory.close();
  }
}

async function* readRange(record: VmRecord, range: MemoryRange): AsyncGenerator<Uint8Array> {
  try {
    yield* readGuestMemory(record, range);
  } catch (error) {
    if (isCodedError(error)) throw error;
    throw saveFailed(record.spec.vmId, error instanceof Error ? error.message : String(error), error);
  }
}

const askMonitor = async (command: string, qmp: QmpClient): Promise<string> =>
  parseQmpReturn(
    z.string(),
    await qmp.execute('human-monitor-command', { 'command-line': command }),
    command,
  );

/** The firmware ends at 4 GiB of the guest's addresses. */
async function firmwareRange(vmId: string, qmp: QmpClient): Promise<MemoryRange> {
  const bytes = parseFirmwareSize(vmId, await askMonitor('info ramblock', qmp));
  return { address: await hostAddress(vmId, 2 ** 32 - bytes, qmp), bytes };
}

async function hostAddress(vmId: string, guestAddress: number, qmp: QmpClient): Promise<number> {
  return parseHostAddress(vmId, guestAddress, await askMonitor(`gpa2hva ${guestAddress}`, qmp));
}

/** The size of the block `pc.bios` in QEMU's answer to `info ramblock`: name, page size, offset, used, total. Pure. */
export function parseFirmwareSize(vmId: string, answer: string): number {
  const hex = /^\s*pc\.bios\s+\d+ KiB\s+0x[0-9a-f]+ 0x[0-9a-f]+ 0x0*([0-9a-f]{4,6})\s*$/m.exec(answer)?.[1];
  const bytes = Number.parseInt(hex ?? '', 16);
  if (bytes % 65_536 === 0) return bytes;
  throw saveFailed(vmId, 'QEMU does not say how large its firmware is');
}

/** The address in QEMU's answer to `gpa2hva`: `Host virtual address for 0x0 (microvm.ram) is 0x7f…`. Pure. */
export function parseHostAddress(vmId: string, guestAddress: number, answer: string): number {
  const [, of, hex] =
    /^Host virtual address for 0x([0-9a-f]+) \(\S+\) is 0x([0-9a-f]{1,12})\s*$/.exec(answer) ?? [];
  if (hex !== undefined && Number.parseInt(of ?? '', 16) === guestAddress) return Number.parseInt(hex, 16);
  throw saveFailed(vmId, `QEMU does not say where its guest's memory is: ${answer.slice(0, 200)}`);
}
