/**
 * LUKS version 1 containers: made, and opened to see whether a key fits. What reads and writes their content is the VMM.
 *
 * INVARIANTS
 * - A header may come from a VMM that an attacker broke out of: one that `createLuksHeader` does not write is refused
 *   before any key is derived, so that opening one costs what opening ours costs, in another thread, one at a time: all
 *   tenants share them.
 * Source: LUKS On-Disk Format Specification 1.2.3; IEEE 1619 (XTS), with plain64 sector numbers.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  pbkdf2,
  pbkdf2Sync,
  randomBytes,
  randomUUID,
  timingSafeEqual,
} from 'node:crypto';
import { promisify } from 'node:util';
import pLimit from 'p-limit';

/** Where the content begins: the header and eight key slots are before it. */
export const LUKS_HEADER_BYTES = 2_097_152;
/** Unit of encryption. */
export const SECTOR_BYTES = 512;

const MAGIC = Buffer.from('4c554b53babe', 'hex');
const KEY_BYTES = 64;
const STRIPES = 4000;
const DIGEST_BYTES = 20;
const SALT_BYTES = 32;
const pbkdf2Aside = promisify(pbkdf2);
const SLOTS = 8;
const SLOT_BYTES = 48;
const SLOTS_AT = 208;
const SLOT_ACTIVE = 0x00ac71f3;
const SLOT_DISABLED = 0x0000dead;
/** Sectors of a slot's key material, aligned to 4 KiB, as every tool lays them out. */
const SLOT_SECTORS = 504;
const FIRST_SLOT_SECTOR = 8;
/** The passphrase is 32 random bytes: there is nothing to guess, and so nothing to slow down. The least that tools take. */
const ITERATIONS = 1000;
/** A fresh header of `LUKS_HEADER_BYTES` with one slot for the passphrase, and the key of the content. AES-256-XTS. */
export function createLuksHeader(passphrase: string): { header: Buffer; masterKey: Buffer } {
  const masterKey = randomBytes(KEY_BYTES);
  const header = Buffer.alloc(LUKS_HEADER_BYTES);
  MAGIC.copy(header, 0);
  header.writeUInt16BE(1, 6);
  header.write('aes', 8, 'latin1');
  header.write('xts-plain64', 40, 'latin1');
  header.write('sha256', 72, 'latin1');
  header.writeUInt32BE(LUKS_HEADER_BYTES / SECTOR_BYTES, 104);
  header.writeUInt32BE(KEY_BYTES, 108);
  const digestSalt = randomBytes(SALT_BYTES);
  pbkdf2Sync(masterKey, digestSalt, ITERATIONS, DIGEST_BYTES, 'sha256').copy(header, 112);
  digestSalt.copy(header, 132);
  header.writeUInt32BE(ITERATIONS, 164);
  header.write(randomUUID(), 168, 'latin1');
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const at = SLOTS_AT + slot * SLOT_BYTES;
    const sector = FIRST_SLOT_SECTOR + slot * SLOT_SECTORS;
    header.writeUInt32BE(slot === 0 ? SLOT_ACTIVE : SLOT_DISABLED, at);
    header.writeUInt32BE(sector, at + 40);
    header.writeUInt32BE(STRIPES, at + 44);
    if (slot > 0) continue;
    const salt = randomBytes(SALT_BYTES);
    header.writeUInt32BE(ITERATIONS, at + 4);
    salt.copy(header, at + 8);
    const slotKey = pbkdf2Sync(passphrase, salt, ITERATIONS, KEY_BYTES, 'sha256');
    cipherSectors(slotKey, 0, splitKey(masterKey), 'encrypt').copy(header, sector * SECTOR_BYTES);
  }
  return { header, masterKey };
}

/** Whether every field of a header is as `createLuksHeader` writes it, but for salts, digest and key material. Pure. */
function isOurs(header: Buffer): boolean {
  const text = (at: number): string => header.toString('latin1', at, at + 32).replace(/\0+$/, '');
  const slots = Array.from({ length: SLOTS }, (_, slot) => SLOTS_AT + slot * SLOT_BYTES);
  return (
    header.length >= LUKS_HEADER_BYTES &&
    header.subarray(0, 6).equals(MAGIC) &&
    header.readUInt16BE(6) === 1 &&
    text(8) === 'aes' &&
    text(40) === 'xts-plain64' &&
    text(72) === 'sha256' &&
    header.readUInt32BE(104) === LUKS_HEADER_BYTES / SECTOR_BYTES &&
    header.readUInt32BE(108) === KEY_BYTES &&
    header.readUInt32BE(164) === ITERATIONS &&
    slots.every(
      (at, slot) =>
        header.readUInt32BE(at) === (slot === 0 ? SLOT_ACTIVE : SLOT_DISABLED) &&
        (slot > 0 || header.readUInt32BE(at + 4) === ITERATIONS) &&
        header.readUInt32BE(at + 40) === FIRST_SLOT_SECTOR + slot * SLOT_SECTORS &&
        header.readUInt32BE(at + 44) === STRIPES,
    )
  );
}

const oneAtATime = pLimit(1);

/** What a header says of a passphrase; `damaged` for one that is not of our making. */
export async function tryLuksHeader(
  header: Buffer,
  passphrase: string,
): Promise<'fits' | 'other_key' | 'damaged'> {
  if (!isOurs(header)) return 'damaged';
  return (await oneAtATime(() => opens(header, passphrase))) ? 'fits' : 'other_key';
}

/** Whether a passphrase opens slot 0, the only one that we write. */
async function opens(header: Buffer, passphrase: string): Promise<boolean> {
  const salt = header.subarray(SLOTS_AT + 8, SLOTS_AT + 8 + SALT_BYTES);
  const slotKey = await pbkdf2Aside(passphrase, salt, ITERATIONS, KEY_BYTES, 'sha256');
  const material = header.subarray(FIRST_SLOT_SECTOR * SECTOR_BYTES).subarray(0, KEY_BYTES * STRIPES);
  const masterKey = mergeKey(cipherSectors(slotKey, 0, material, 'decrypt'));
  const digestSalt = header.subarray(132, 132 + SALT_BYTES);
  const digest = await pbkdf2Aside(masterKey, digestSalt, ITERATIONS, DIGEST_BYTES, 'sha256');
  return timingSafeEqual(digest, header.subarray(112, 112 + DIGEST_BYTES));
}

/** Whole sectors of content encrypted, the first of them being number `first`. */
export function encryptSectors(masterKey: Buffer, first: number, plain: Buffer): Buffer {
  return cipherSectors(masterKey, first, plain, 'encrypt');
}

function cipherSectors(key: Buffer, first: number, input: Buffer, what: 'encrypt' | 'decrypt'): Buffer {
  const output = Buffer.alloc(input.length);
  const number = Buffer.alloc(16);
  for (let at = 0; at < input.length; at += SECTOR_BYTES) {
    number.writeBigUInt64LE(BigInt(first + at / SECTOR_BYTES), 0);
    const cipher =
      what === 'encrypt'
        ? createCipheriv('aes-256-xts', key, number)
        : createDecipheriv('aes-256-xts', key, number);
    cipher.update(input.subarray(at, at + SECTOR_BYTES)).copy(output, at);
  }
  return output;
}

/** The anti-forensic splitter: the key is spread so that losing any part of the material loses it. */
function splitKey(key: Buffer): Buffer {
  const stripes = randomBytes(KEY_BYTES * STRIPES);
  fold(stripes, STRIPES - 1, (state) => {
    const last = stripes.subarray(KEY_BYTES * (STRIPES - 1));
    for (let index = 0; index < KEY_BYTES; index += 1) {
      last.writeUInt8(state.readUInt8(index) ^ key.readUInt8(index), index);
    }
  });
  return stripes;
}

function mergeKey(stripes: Buffer): Buffer {
  const key = Buffer.alloc(KEY_BYTES);
  fold(stripes, STRIPES - 1, (state) => {
    const last = stripes.subarray(KEY_BYTES * (STRIPES - 1));
    for (let index = 0; index < KEY_BYTES; index += 1) {
      key.writeUInt8(state.readUInt8(index) ^ last.readUInt8(index), index);
    }
  });
  return key;
}

/** Mixes the first `count` stripes into one. */
function fold(stripes: Buffer, count: number, use: (state: Buffer) => void): void {
  let state: Buffer = Buffer.alloc(KEY_BYTES);
  for (let stripe = 0; stripe < count; stripe += 1) {
    for (let index = 0; index < KEY_BYTES; index += 1) {
      state.writeUInt8(state.readUInt8(index) ^ stripes.readUInt8(stripe * KEY_BYTES + index), index);
    }
    state = diffuse(state);
  }
  use(state);
}

function diffuse(block: Buffer): Buffer {
  return Buffer.concat(
    [0, 1].map((index) => {
      const counter = Buffer.alloc(4);
      counter.writeUInt32BE(index);
      return createHash('sha256')
        .update(counter)
        .update(block.subarray(index * 32, index * 32 + 32))
        .digest();
    }),
  );
}
