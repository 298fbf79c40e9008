/**
 * INVARIANTS
 * - Content is appended as it comes; a file's content begins at a block of its own and ends with zeros up to the next.
 * - Of a sparse file, only chunks that hold data take blocks.
 * - No more than the limit is ever written, whatever a sparse file's map makes of it.
 */
import { limitExceeded } from '../errors.js';
import type { ImageLimits } from '../limits.js';
import type { Segment, TarEntry } from '../tar/entry.js';
import type { Extent, FileNode } from '../tree/node.js';
import { BLOCK_BYTES, BlockWriter } from './block-file.js';

/** Chunks that a sparse file has at most: its map takes four bytes for each. */
const MAX_CHUNKS = 2 ** 18;
/** The superblock is in the first one. */
export const FIRST_CONTENT_BLOCK = 1;

/** Collects the content of files, one file at a time, in an image. */
export class ContentWriter {
  readonly #writer: BlockWriter;
  readonly #limits: ImageLimits;
  #file: FileNode | undefined;
  #segments: readonly Segment[] = [];
  #segment = 0;
  #inSegment = 0;
  /** Where the chunk that is being written ends in the file, bytes; 0 before the first. */
  #chunkEnd = 0;
  /** What of the file is written or a hole, bytes. */
  #done = 0;

  constructor(fd: number, limits: ImageLimits) {
    this.#writer = new BlockWriter(fd, FIRST_CONTENT_BLOCK);
    this.#limits = limits;
  }

  /** The first block behind all content. */
  get endBlock(): number {
    return Math.ceil(this.#writer.position / BLOCK_BYTES);
  }

  begin(entry: TarEntry): FileNode {
    const { size, segments } = entry;
    const blocks = Math.ceil(size / BLOCK_BYTES);
    const isSparse = segments !== undefined && blocks > 0;
    const { mode, uid, gid, mtimeSec, mtimeNsec, xattrs } = entry;
    const file: FileNode = {
      kind: 'file',
      attributes: { mode, uid, gid, mtimeSec, mtimeNsec, xattrs },
      size,
      isSparse,
      chunkBlocks: isSparse ? 2 ** Math.max(0, Math.ceil(Math.log2(blocks / MAX_CHUNKS))) : 1,
      extents: [],
    };
    if (!isSparse && blocks > 0) {
      this.#count(size);
      file.extents.push({ fileBlock: 0, imageBlock: this.#writer.align(), blocks });
    }
    this.#file = file;
    this.#segments = segments ?? [];
    this.#segment = 0;
    this.#inSegment = 0;
    this.#chunkEnd = 0;
    this.#done = 0;
    return file;
  }

  data(chunk: Buffer): void {
    if (this.#file === undefined) return;
    if (!this.#file.isSparse) this.#writer.write(chunk);
    else for (let rest = chunk; rest.length > 0; ) rest = this.#sparse(this.#file, rest);
  }

  end(): void {
    if (this.#file?.isSparse === true) this.#finishChunk();
    this.#writer.align();
    this.#file = undefined;
  }

  flush(): void {
    this.#writer.flush();
  }

  /** Writes the beginning of `data` and returns what is left of it. */
  #sparse(file: FileNode, data: Buffer): Buffer {
    const segment = this.#segments[this.#segment];
    if (segment === undefined) return data.subarray(data.length);
    const at = segment.offset + this.#inSegment;
    if (at >= this.#chunkEnd) {
      this.#finishChunk();
      this.#beginChunk(file, at);
    }
    this.#zerosTo(at);
    const part = data.subarray(0, Math.min(segment.length - this.#inSegment, this.#chunkEnd - at));
    this.#writer.write(part);
    this.#done = at + part.length;
    this.#inSegment += part.length;
    if (this.#inSegment === segment.length) {
      this.#segment += 1;
      this.#inSegment = 0;
    }
    return data.subarray(part.length);
  }

  #beginChunk(file: FileNode, at: number): void {
    const chunkBytes = file.chunkBlocks * BLOCK_BYTES;
    const start = Math.floor(at / chunkBytes) * chunkBytes;
    const end = Math.min(start + chunkBytes, Math.ceil(file.size / BLOCK_BYTES) * BLOCK_BYTES);
    this.#count(end - start);
    const extent: Extent = {
      fileBlock: start / BLOCK_BYTES,
      imageBlock: this.#writer.align(),
      blocks: (end - start) / BLOCK_BYTES,
    };
    file.extents.push(extent);
    this.#done = start;
    this.#chunkEnd = end;
  }

  #finishChunk(): void {
    this.#zerosTo(this.#chunkEnd);
  }

  #zerosTo(end: number): void {
    if (end <= this.#done) return;
    this.#writer.zeros(end - this.#done);
    this.#done = end;
  }

  #count(bytes: number): void {
    if (this.#writer.position + bytes > this.#limits.maxBytes) {
      throw limitExceeded('content, bytes', this.#limits.maxBytes);
    }
  }
}
