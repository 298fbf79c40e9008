import { readSync, writeSync } from 'node:fs';

export const BLOCK_BYTES = 4096;
const BUFFER_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(64 * 1024);

/** Appends to a file at a position of its own, through a buffer. The descriptor belongs to the caller. */
export class BlockWriter {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  /** Where the buffer begins in the file, bytes. */
  #start: number;

  constructor(fd: number, startBlock: number) {
    this.#fd = fd;
    this.#start = startBlock * BLOCK_BYTES;
  }

  /** Bytes from the beginning of the file. */
  get position(): number {
    return this.#start + this.#used;
  }

  write(data: Buffer): void {
    for (let at = 0; at < data.length; ) {
      if (this.#used === BUFFER_BYTES) this.flush();
      at += this.#put(data, at);
    }
  }

  zeros(bytes: number): void {
    for (let left = bytes; left > 0; ) {
      const part = Math.min(left, ZEROS.length);
      this.write(part === ZEROS.length ? ZEROS : ZEROS.subarray(0, part));
      left -= part;
    }
  }

  /** Fills the block up with zeros; returns the number of the next block. */
  align(): number {
    const over = this.position % BLOCK_BYTES;
    if (over > 0) this.zeros(BLOCK_BYTES - over);
    return this.position / BLOCK_BYTES;
  }

  flush(): void {
    writeFully(this.#fd, this.#buffer.subarray(0, this.#used), this.#start);
    this.#start += this.#used;
    this.#used = 0;
  }

  #put(data: Buffer, at: number): number {
    const copied = data.copy(this.#buffer, this.#used, at);
    this.#used += copied;
    return copied;
  }
}

/** A full disk shows as a short write first, as ENOSPC only at the next one. */
export function writeFully(fd: number, data: Buffer, position: number): void {
  for (let done = 0; done < data.length; ) {
    done += writeSync(fd, data, done, data.length - done, position + done);
  }
}

/** Moves blocks towards the beginning of a file; the stretches may overlap. */
export function moveBlocksDown(fd: number, from: number, to: number, blocks: number): void {
  const buffer = Buffer.allocUnsafe(Math.min(BUFFER_BYTES, blocks * BLOCK_BYTES));
  for (let done = 0; done < blocks * BLOCK_BYTES; ) {
    const length = Math.min(buffer.length, blocks * BLOCK_BYTES - done);
    const read = readSync(fd, buffer, 0, length, from * BLOCK_BYTES + done);
    if (read === 0) throw new Error('the image is shorter than what was written to it');
    writeFully(fd, buffer.subarray(0, read), to * BLOCK_BYTES + done);
    done += read;
  }
}
