/** The memory of a paused guest, read out of its VMM's process, which need not send it. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { dataExtents } from '../../system/libc.js';
import { isAlive } from '../process/process-identity.js';
import type { VmRecord } from '../vmm.js';
import { MAPPED_MEMORY_FD } from './argv.js';

const PAGE_BYTES = 4096;
/** As much is looked at as one: read, or left a hole. */
const BLOCK_BYTES = 16 * PAGE_BYTES;
const BATCH_BYTES = 1_048_576;
/** The pages of so much memory are looked up at once: 128 KiB of flags. */
const WINDOW_BYTES = 64 * BATCH_BYTES;

// The upper half of an entry of /proc/<pid>/pagemap. Source: Documentation/admin-guide/mm/pagemap.rst.
const PRESENT_OR_SWAPPED = 0xc0000000;
const OF_A_FILE = 0x20000000;

/** Where a VMM has its guest's memory, in its own address space. */
export interface MemoryRange {
  readonly address: number;
  readonly bytes: number;
}

/**
 * The inode of the file that a range is mapped from, from its beginning; 0 for memory of the process's own. Throws when
 * not all of the range is the process's to write, or it is shared with others. Pure. Source: proc(5), /proc/<pid>/maps.
 */
export function mappedInode(maps: string, { address, bytes }: MemoryRange): bigint {
  const end = address + bytes;
  const found = new Set<bigint>();
  let at = address;
  for (const line of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ (\d+)/gm)) {
    const [from, to, offset] = [line[1], line[2], line[4]].map((text) => Number.parseInt(text ?? '', 16));
    if (from === undefined || to === undefined || offset === undefined) continue;
    if (to <= at || from >= end) continue;
    const inode = BigInt(line[5] ?? '');
    if (from > at || line[3] !== 'rw-p') break;
    if (inode !== 0n && offset + (at - from) !== at - address) break;
    found.add(inode);
    at = Math.min(to, end);
  }
  const [inode] = found;
  if (at === end && found.size === 1 && inode !== undefined) return inode;
  throw new Error('the memory of the guest is not where the VMM says');
}

/**
 * The memory, in pieces of 1 MiB, each good until the next is asked for. What the VMM's process has never touched is not
 * read: it is zeros, or what stands in the file that it maps privately. Throws what reading does, and when the process has
 * ended. PRIVILEGE: CAP_SYS_PTRACE, for another user's process. SAFETY: nothing but that process's own memory is read, and
 * the file that it was given.
 */
export async function* readGuestMemory(record: VmRecord, range: MemoryRange): AsyncGenerator<Uint8Array> {
  const { pid } = record;
  const opened: FileHandle[] = [];
  const take = async (path: string, flags: number): Promise<FileHandle> => {
    const file = await open(path, flags);
    opened.push(file);
    return file;
  };
  try {
    const memory = await take(`/proc/${pid}/mem`, constants.O_RDONLY);
    const pages = await take(`/proc/${pid}/pagemap`, constants.O_RDONLY);
    const inode = mappedInode(await readFile(`/proc/${pid}/maps`, 'latin1'), range);
    // SAFETY: what stands at that descriptor is the process's own choice; it may be anything that would block.
    const file =
      inode === 0n
        ? null
        : await take(`/proc/${pid}/fd/${MAPPED_MEMORY_FD}`, constants.O_RDONLY | constants.O_NONBLOCK);
    const entry = await file?.stat({ bigint: true });
    if (entry !== undefined && (!entry.isFile() || entry.ino !== inode || entry.size < range.bytes))
      throw new Error('the VMM does not have the file any more that it maps');
    // The files are of the process that this pid was when they were opened.
    if (!(await isAlive(record))) throw new Error('the VMM has ended');
    yield* inBatches(range, { memory, pages, file });
  } finally {
    for (const file of opened) await file.close();
  }
}

interface Sources {
  readonly memory: FileHandle;
  readonly pages: FileHandle;
  /** Null: what the process has not touched is zeros. */
  readonly file: FileHandle | null;
}

/** While one batch is in use, the next one is read. */
async function* inBatches(range: MemoryRange, sources: Sources): AsyncGenerator<Uint8Array> {
  const blocks = new BlockMap(range, sources);
  const buffers = [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)] as const;
  const read = (at: number): Promise<Uint8Array> => {
    const length = Math.min(BATCH_BYTES, range.bytes - at);
    const buffer = buffers[(at / BATCH_BYTES) % 2 === 0 ? 0 : 1].subarray(0, length);
    return readBatch(at, buffer, range, sources, blocks).then(() => buffer);
  };
  let next = read(0);
  try {
    for (let at = 0; at < range.bytes; at += BATCH_BYTES) {
      const piece = await next;
      if (at + BATCH_BYTES < range.bytes) next = read(at + BATCH_BYTES);
      yield piece;
    }
  } finally {
    await next.catch(() => {});
  }
}

async function readBatch(
  at: number,
  buffer: Buffer,
  { address }: MemoryRange,
  { memory, file }: Sources,
  blocks: BlockMap,
): Promise<void> {
  for (let from = 0; from < buffer.length; ) {
    const source = await blocks.source(at + from);
    let to = from + BLOCK_BYTES;
    while (to < buffer.length && (await blocks.source(at + to)) === source) to += BLOCK_BYTES;
    const part = buffer.subarray(from, to);
    if (source === 'memory') await readAll(memory, part, address + at + from);
    else if (source === 'file' && file !== null) await readAll(file, part, at + from);
    else part.fill(0);
    from = to;
  }
}

async function readAll(file: FileHandle, into: Buffer, position: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) throw new Error('the memory of the guest ends too early');
    done += bytesRead;
  }
}

/** Where the content of each block is to be read. */
class BlockMap {
  readonly #range: MemoryRange;
  readonly #pages: FileHandle;
  /** The blocks of the file that are no holes. */
  readonly #inFile: Uint8Array | null;
  #window = -1;
  #flags = new Uint32Array(0);

  constructor(range: MemoryRange, { pages, file }: Sources) {
    this.#range = range;
    this.#pages = pages;
    this.#inFile = file && new Uint8Array(Math.ceil(range.bytes / BLOCK_BYTES));
    if (file === null) return;
    for (const { start, end } of dataExtents(file.fd, range.bytes))
      this.#inFile?.fill(1, Math.floor(start / BLOCK_BYTES), Math.ceil(end / BLOCK_BYTES));
  }

  async source(at: number): Promise<'memory' | 'file' | 'hole'> {
    const window = Math.floor(at / WINDOW_BYTES);
    if (window !== this.#window) await this.#load(window);
    const first = (at % WINDOW_BYTES) / PAGE_BYTES;
    const last = Math.min(first + BLOCK_BYTES / PAGE_BYTES, this.#flags.length / 2);
    for (let page = first; page < last; page += 1) {
      const flags = this.#flags[2 * page + 1] ?? 0;
      // A page of the file is as it is in the file; one that was written to is the process's own.
      if ((flags & PRESENT_OR_SWAPPED) !== 0 && (flags & OF_A_FILE) === 0) return 'memory';
    }
    return this.#inFile?.[at / BLOCK_BYTES] === 1 ? 'file' : 'hole';
  }

  async #load(window: number): Promise<void> {
    const from = window * WINDOW_BYTES;
    const length = Math.min(WINDOW_BYTES, this.#range.bytes - from);
    const flags = Buffer.allocUnsafeSlow((length / PAGE_BYTES) * 8);
    await readAll(this.#pages, flags, ((this.#range.address + from) / PAGE_BYTES) * 8);
    this.#flags = new Uint32Array(flags.buffer, flags.byteOffset, flags.length / 4);
    this.#window = window;
  }
}
