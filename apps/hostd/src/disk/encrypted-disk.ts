import { hkdfSync } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { syncDirectory } from '../state/atomic-file.js';
import { fromFileError } from '../state/fs-error.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import { dataExtents } from '../system/libc.js';
import { formatDataDisk } from './data-disk.js';
import { createLuksHeader, encryptSectors, LUKS_HEADER_BYTES, SECTOR_BYTES, tryLuksHeader } from './luks.js';

const BLOCK_BYTES = 4096;
const PIECE_BYTES = 1_048_576;

/**
 * The passphrase of an instance's data volume, 64 hexadecimal digits: HKDF-SHA256 of the tenant's key, without salt, with
 * `mvm volume <tenant>/<pool>/<instance>`. A VMM gets this one, and so never the tenant's key, which opens all the others.
 */
export function volumePassphrase(tenantKey: Buffer, address: InstanceAddress): string {
  const derived = hkdfSync('sha256', tenantKey, '', `mvm volume ${addressText(address)}`, 32);
  return Buffer.from(derived).toString('hex');
}

/**
 * Makes an encrypted data disk: a LUKS container with a fresh ext4 of `sizeMib` in it, sparse; one that is there is never
 * touched. Durable when it returns; on any error nothing is left. Only what mkfs wrote is encrypted: what is not written
 * yet reads as noise, on which ext4 does not rely.
 */
export async function makeEncryptedDisk(options: {
  readonly path: string;
  readonly sizeMib: number;
  readonly passphrase: string;
}): Promise<void> {
  const { path, sizeMib, passphrase } = options;
  const name = `.${basename(path)}.tmp-${process.pid}`;
  const plainPath = join(dirname(path), `${name}-plain`);
  const temporary = join(dirname(path), `${name}-disk`);
  try {
    await formatDataDisk(plainPath, sizeMib, ['^resize_inode']);
    const { header, masterKey } = createLuksHeader(passphrase);
    const plain = await open(plainPath, 'r');
    const file = await open(temporary, 'w', 0o600);
    try {
      const { size } = await plain.stat();
      await file.truncate(LUKS_HEADER_BYTES + size);
      await file.write(header, 0, header.length, 0);
      for (const { start, end } of dataExtents(plain.fd, size)) {
        const from = start - (start % BLOCK_BYTES);
        for (let at = from; at < end; at += PIECE_BYTES) {
          const piece = Buffer.alloc(
            Math.min(PIECE_BYTES, Math.ceil((end - at) / BLOCK_BYTES) * BLOCK_BYTES),
          );
          await plain.read(piece, 0, piece.length, at);
          const sealed = encryptSectors(masterKey, at / SECTOR_BYTES, piece);
          await file.write(sealed, 0, sealed.length, LUKS_HEADER_BYTES + at);
        }
      }
      await file.sync();
    } finally {
      await plain.close();
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw fromFileError(error, `cannot make ${path}`);
  } finally {
    await rm(plainPath, { force: true }).catch(() => {});
  }
}

/**
 * Whether a passphrase opens an encrypted disk, before anything is done with it. Reads only. Throws
 * `failed_precondition`: `disk.other_key`, or `disk.damaged` when the header is not one of ours.
 */
export async function checkEncryptedDisk(path: string, passphrase: string): Promise<void> {
  const header = Buffer.alloc(LUKS_HEADER_BYTES);
  try {
    const file = await open(path, 'r');
    await file.read(header, 0, header.length, 0).finally(() => file.close());
  } catch (error) {
    throw fromFileError(error, `cannot read ${path}`);
  }
  const verdict = await tryLuksHeader(header, passphrase);
  if (verdict === 'fits') return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: verdict === 'damaged' ? 'disk.damaged' : 'disk.other_key',
    message:
      verdict === 'damaged'
        ? `the header of the encrypted data volume ${path} is damaged`
        : `the tenant’s key does not open the data volume ${path}`,
    hint:
      verdict === 'damaged'
        ? 'Restore its first 2 MiB from a backup of the volume; without them its data is lost.'
        : 'Put the key back that the tenant had when the instance was first started; the volume is untouched.',
  });
}
