import type { Attributes, FileNode, Node } from '../tree/node.js';
import { BLOCK_BYTES } from './block-file.js';

export const INODE_BYTES = 64;
/** Nodes are numbered by where their inode begins, in units of this many bytes. */
export const SLOT_BYTES = 32;

/** How content is found. Source: Linux, fs/erofs/erofs_fs.h (EROFS_INODE_*). */
export const DATA_LAYOUT = { plain: 0, inline: 2, chunks: 4 } as const;
export type DataLayout = (typeof DATA_LAYOUT)[keyof typeof DATA_LAYOUT];

const HOLE = 0xffffffff;

/** File type bits of st_mode, and the type in a directory. */
export const FILE_TYPES: Readonly<Record<Node['kind'], readonly [format: number, fileType: number]>> = {
  file: [0o100000, 1],
  directory: [0o040000, 2],
  char: [0o020000, 3],
  block: [0o060000, 4],
  fifo: [0o010000, 5],
  symlink: [0o120000, 7],
};

export interface InodeFields {
  readonly kind: Node['kind'];
  readonly attributes: Attributes;
  readonly layout: DataLayout;
  readonly size: number;
  /** First block of content, device number or description of chunks, by kind. */
  readonly union: number;
  readonly number: number;
  readonly links: number;
  readonly xattrCount: number;
}

/** An extended inode. Pure. Source: Linux, fs/erofs/erofs_fs.h (struct erofs_inode_extended). */
export function encodeInode(fields: InodeFields): Buffer {
  const { attributes } = fields;
  const inode = Buffer.alloc(INODE_BYTES);
  inode.writeUInt16LE((fields.layout << 1) | 1, 0);
  inode.writeUInt16LE(fields.xattrCount, 2);
  inode.writeUInt16LE(FILE_TYPES[fields.kind][0] | attributes.mode, 4);
  inode.writeBigUInt64LE(BigInt(fields.size), 8);
  inode.writeUInt32LE(fields.union, 16);
  inode.writeUInt32LE(fields.number, 20);
  inode.writeUInt32LE(attributes.uid, 24);
  inode.writeUInt32LE(attributes.gid, 28);
  inode.writeBigInt64LE(BigInt(attributes.mtimeSec), 32);
  inode.writeUInt32LE(attributes.mtimeNsec, 40);
  inode.writeUInt32LE(fields.links, 44);
  return inode;
}

/** A device's number as Linux stores it. Source: include/linux/kdev_t.h (new_encode_dev). */
export function encodeDevice(major: number, minor: number): number {
  return (((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0) % 2 ** 32;
}

/** The union of a file in chunks: the logarithm of blocks in a chunk. */
export function chunkFormat(file: FileNode): number {
  return Math.log2(file.chunkBlocks);
}

/** The map of a file in chunks: the first block of each, or a hole. */
export function encodeChunkMap(file: FileNode): Buffer {
  const blocks = Math.ceil(file.size / BLOCK_BYTES);
  const map = Buffer.alloc(4 * Math.ceil(blocks / file.chunkBlocks), 0xff);
  for (const extent of file.extents) {
    map.writeUInt32LE(extent.imageBlock % HOLE, 4 * (extent.fileBlock / file.chunkBlocks));
  }
  return map;
}

/** Bytes of {@link encodeChunkMap}. */
export function chunkMapBytes(file: FileNode): number {
  return 4 * Math.ceil(Math.ceil(file.size / BLOCK_BYTES) / file.chunkBlocks);
}
