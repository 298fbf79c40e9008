/**
 * Authenticated encryption of a stream in chunks, so that a memory image never stands on disk in plaintext and a
 * damaged, reordered or truncated one is noticed before its bytes are used.
 *
 * Format: 8 bytes `MVMSEAL1`, 32 bytes salt, then chunks of 256 KiB plaintext (the last one may be shorter), each as
 * AES-256-GCM ciphertext followed by its 16-byte tag. Key: HKDF-SHA256 of the tenant's key, the salt and the string
 * `mvm snapshot`. Nonce: u64 big-endian chunk number, then u32 1 for the last chunk and 0 for others. The header is
 * additional data of every chunk.
 *
 * INVARIANTS
 * - A derived key seals one stream: the salt is fresh for each, so a nonce never repeats under one key.
 * - `unseal` yields a chunk only after its tag has been verified, and ends normally only after the last one.
 * Source: the STREAM construction, Hoang, Reyhanitabar, Rogaway, Vizár 2015; NIST SP 800-38D.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { CodedError } from '@mvm/protocol';

const MAGIC = Buffer.from('MVMSEAL1', 'latin1');
const SALT_BYTES = 32;
const HEADER_BYTES = MAGIC.length + SALT_BYTES;
const TAG_BYTES = 16;
/** Bytes of plaintext per chunk. */
export const SEAL_CHUNK_BYTES = 262_144;
/** Length of a tenant's key in bytes. */
const SEAL_KEY_BYTES = 32;

/** The sealed form of `source`, under a 32-byte key. Any chunking in, header and whole chunks out. */
export async function* seal(key: Buffer, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const salt = randomBytes(SALT_BYTES);
  const header = Buffer.concat([MAGIC, salt]);
  const derived = deriveKey(key, salt);
  yield header;
  let number = 0n;
  for await (const { bytes, last } of inChunks(source, SEAL_CHUNK_BYTES)) {
    const cipher = createCipheriv('aes-256-gcm', derived, nonce(number, last));
    cipher.setAAD(header);
    const body = cipher.update(bytes);
    cipher.final();
    yield body;
    yield cipher.getAuthTag();
    number += 1n;
  }
}

/**
 * The plaintext of a sealed stream. Throws `failed_precondition`: `snapshot.not_sealed` when the header is missing,
 * `snapshot.unseal_failed` when the key is another tenant's or the stream was changed or cut.
 */
export async function* unseal(key: Buffer, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const pieces = new PieceReader(source);
  const header = await pieces.take(HEADER_BYTES);
  if (header.length < HEADER_BYTES || !header.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'snapshot.not_sealed',
      message: 'the memory image is not in the sealed format',
    });
  }
  const derived = deriveKey(key, header.subarray(MAGIC.length));
  let number = 0n;
  for await (const { bytes, last } of inChunks(pieces.rest(), SEAL_CHUNK_BYTES + TAG_BYTES)) {
    if (bytes.length < TAG_BYTES) throw unsealFailed(number);
    const decipher = createDecipheriv('aes-256-gcm', derived, nonce(number, last));
    decipher.setAAD(header);
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    const plain = decipher.update(bytes.subarray(0, bytes.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      throw unsealFailed(number);
    }
    yield plain;
    number += 1n;
  }
}

function deriveKey(key: Buffer, salt: Buffer): Buffer {
  if (key.length !== SEAL_KEY_BYTES) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'snapshot.bad_key',
      message: `a tenant key has ${SEAL_KEY_BYTES} bytes, not ${key.length}`,
    });
  }
  return Buffer.from(hkdfSync('sha256', key, salt, 'mvm snapshot', 32));
}

function nonce(number: bigint, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(number, 0);
  bytes.writeUInt32BE(last ? 1 : 0, 8);
  return bytes;
}

function unsealFailed(chunk: bigint): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.unseal_failed',
    message: `chunk ${chunk} of the memory image does not open: it was changed or cut, or the key is not the one it was sealed with`,
    details: { chunk: Number(chunk) },
    hint: "put the tenant's key back that it had when the instance went to sleep; if it has that key, the file was changed: restore it, or stop the instance and start fresh",
  });
}

/** Chunks of exactly `size` bytes, but for the last; always at least one (perhaps empty), and only the last is marked. */
async function* inChunks(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<{ bytes: Buffer; last: boolean }> {
  let held: Buffer[] = [];
  let length = 0;
  for await (const piece of source) {
    held.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    length += piece.byteLength;
    // A whole chunk is held back until a byte behind it proves that it is not the last.
    while (length > size) {
      const all = held.length === 1 && held[0] ? held[0] : Buffer.concat(held, length);
      yield { bytes: all.subarray(0, size), last: false };
      held = [all.subarray(size)];
      length -= size;
    }
  }
  yield { bytes: Buffer.concat(held, length), last: true };
}

/** Takes a few bytes off the front of a stream and leaves the rest as a stream. */
class PieceReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #left: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<Buffer> {
    while (this.#left.length < count) {
      const next = await this.#iterator.next();
      if (next.done) break;
      this.#left = Buffer.concat([this.#left, next.value]);
    }
    const taken = this.#left.subarray(0, count);
    this.#left = this.#left.subarray(taken.length);
    return taken;
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    try {
      if (this.#left.length > 0) yield this.#left;
      for (;;) {
        const next = await this.#iterator.next();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await this.#iterator.return?.();
    }
  }
}
