/**
 * Writes the metadata of an EROFS file system behind the content that is in the file already: directories' blocks, then
 * all inodes, then the superblock. Equal trees and equal content give equal bytes. Source: Linux,
 * Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h, as of Linux 5.15 (chunks).
 */
import { ftruncateSync } from 'node:fs';
import type { DirectoryNode, Node } from '../tree/node.js';
import { BLOCK_BYTES, BlockWriter, writeFully } from './block-file.js';
import { compact } from './compact.js';
import { type DirectoryLayout, encodeDirectory, layoutDirectory } from './directory.js';
import {
  chunkFormat,
  chunkMapBytes,
  DATA_LAYOUT,
  type DataLayout,
  encodeChunkMap,
  encodeDevice,
  encodeInode,
  FILE_TYPES,
  INODE_BYTES,
  SLOT_BYTES,
} from './inode.js';
import { encodeXattrs, xattrCount } from './xattrs.js';

const MAGIC = 0xe0f5e1e2;
const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_BYTES = 128;
const FEATURE_CHUNKED_FILE = 0x4;

/** Where a node's inode goes, and its content when that is written here. */
interface Placement {
  readonly number: number;
  links: number;
  readonly nid: number;
  readonly xattrBytes: number;
  readonly layout: DataLayout;
  /** First block of a directory's or symbolic link's content. */
  readonly block: number;
  readonly directory: DirectoryLayout | undefined;
}

export interface WrittenImage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** `fd` is open for reading and writing and holds the content; `uuid` has 16 bytes. */
export function writeImage(fd: number, root: DirectoryNode, uuid: Buffer): WrittenImage {
  const order = listNodes(root);
  const contentEnd = compact(fd, order.nodes.keys());
  const placements = new Map<Node, Placement>();
  let block = contentEnd;
  // Slot 0 stays empty: a node's number is never 0.
  let at = INODE_BYTES;
  let number = 0;
  for (const [node, links] of order.nodes) {
    const xattrBytes = encodeXattrs(node.attributes.xattrs).length;
    const head = INODE_BYTES + xattrBytes;
    const { size, directory } = measure(node);
    let layout: DataLayout = DATA_LAYOUT.plain;
    let tail = 0;
    let blocks = 0;
    if (node.kind === 'file') {
      if (node.isSparse) {
        layout = DATA_LAYOUT.chunks;
        tail = chunkMapBytes(node);
      }
    } else if (size > 0) {
      const inline = size % BLOCK_BYTES;
      if (inline > 0 && head + inline <= BLOCK_BYTES) {
        layout = DATA_LAYOUT.inline;
        tail = inline;
      }
      blocks = Math.ceil((size - tail) / BLOCK_BYTES);
      // What is inline must not reach into the next block.
      if (tail > 0 && (at % BLOCK_BYTES) + head + tail > BLOCK_BYTES)
        at = Math.ceil(at / BLOCK_BYTES) * BLOCK_BYTES;
    }
    number += 1;
    placements.set(node, { number, links, nid: at / SLOT_BYTES, xattrBytes, layout, block, directory });
    block += blocks;
    at = Math.ceil((at + head + tail) / SLOT_BYTES) * SLOT_BYTES;
  }
  const metaBlock = block;
  writeContent(fd, { placements, parents: order.parents, contentEnd, metaBlock });
  const blocks = metaBlock + Math.ceil(at / BLOCK_BYTES);
  ftruncateSync(fd, blocks * BLOCK_BYTES);
  const rootNid = placements.get(root)?.nid ?? 0;
  writeFully(fd, superblock({ rootNid, inodes: number, blocks, metaBlock, uuid }), 0);
  return { sizeBytes: blocks * BLOCK_BYTES, inodes: number };
}

interface Order {
  /** Every node once, with its number of links; a directory before what is in it. */
  readonly nodes: ReadonlyMap<Node, number>;
  readonly parents: ReadonlyMap<DirectoryNode, DirectoryNode>;
}

function listNodes(root: DirectoryNode): Order {
  const nodes = new Map<Node, number>([[root, 2]]);
  const parents = new Map<DirectoryNode, DirectoryNode>([[root, root]]);
  const pending: DirectoryNode[] = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const below: DirectoryNode[] = [];
    for (const name of sortedNames(directory)) {
      const node = directory.children.get(name)?.node;
      if (node === undefined) continue;
      if (node.kind === 'directory') {
        nodes.set(node, 2);
        nodes.set(directory, (nodes.get(directory) ?? 2) + 1);
        parents.set(node, directory);
        below.push(node);
      } else nodes.set(node, (nodes.get(node) ?? 0) + 1);
    }
    pending.push(...below.reverse());
  }
  return { nodes, parents };
}

/** Names have one character per byte, so that the order of characters is that of bytes. */
function sortedNames(directory: DirectoryNode): string[] {
  return [...directory.children.keys()].sort();
}

function measure(node: Node): { readonly size: number; readonly directory: DirectoryLayout | undefined } {
  switch (node.kind) {
    case 'directory': {
      const directory = layoutDirectory(['.', '..', ...node.children.keys()].sort());
      return { size: directory.size, directory };
    }
    case 'symlink':
      return { size: node.target.length, directory: undefined };
    case 'file':
      return { size: node.size, directory: undefined };
    default:
      return { size: 0, directory: undefined };
  }
}

interface Sections {
  readonly placements: ReadonlyMap<Node, Placement>;
  readonly parents: ReadonlyMap<DirectoryNode, DirectoryNode>;
  readonly contentEnd: number;
  readonly metaBlock: number;
}

function writeContent(fd: number, sections: Sections): void {
  const blocks = new BlockWriter(fd, sections.contentEnd);
  const meta = new BlockWriter(fd, sections.metaBlock);
  const metaStart = sections.metaBlock * BLOCK_BYTES;
  for (const [node, placement] of sections.placements) {
    const { nid, layout } = placement;
    meta.zeros(metaStart + nid * SLOT_BYTES - meta.position);
    const xattrs = encodeXattrs(node.attributes.xattrs);
    const { size, union, content } = contentOf(node, placement, sections);
    const inode = { ...placement, kind: node.kind, attributes: node.attributes, size, union };
    meta.write(encodeInode({ ...inode, xattrCount: xattrCount(xattrs) }));
    meta.write(xattrs);
    if (layout === DATA_LAYOUT.plain) blocks.write(content);
    else if (layout === DATA_LAYOUT.chunks) meta.write(content);
    else {
      const inlineAt = content.length - (content.length % BLOCK_BYTES);
      blocks.write(content.subarray(0, inlineAt));
      meta.write(content.subarray(inlineAt));
    }
    blocks.align();
  }
  meta.align();
  blocks.flush();
  meta.flush();
}

interface Content {
  readonly size: number;
  readonly union: number;
  /** What is not in the image yet. */
  readonly content: Buffer;
}

const NOTHING = Buffer.alloc(0);

function contentOf(node: Node, { block, directory, layout }: Placement, sections: Sections): Content {
  switch (node.kind) {
    case 'file':
      return layout === DATA_LAYOUT.chunks
        ? { size: node.size, union: chunkFormat(node), content: encodeChunkMap(node) }
        : { size: node.size, union: node.extents[0]?.imageBlock ?? 0, content: NOTHING };
    case 'symlink': {
      const content = Buffer.from(node.target, 'latin1');
      return { size: content.length, union: block, content };
    }
    case 'directory': {
      const content = directoryContent(node, directory, sections);
      return { size: content.length, union: block, content };
    }
    default:
      return { size: 0, union: encodeDevice(node.major, node.minor), content: NOTHING };
  }
}

function directoryContent(
  node: DirectoryNode,
  layout: DirectoryLayout | undefined,
  { placements, parents }: Sections,
): Buffer {
  const nidOf = (other: Node | undefined): number => (other && placements.get(other)?.nid) ?? 0;
  const names = ['.', '..', ...node.children.keys()].sort();
  const dirents = names.map((name) => {
    const other = name === '.' ? node : name === '..' ? parents.get(node) : node.children.get(name)?.node;
    return { name, nid: nidOf(other), fileType: FILE_TYPES[other?.kind ?? 'file'][1] };
  });
  return encodeDirectory(dirents, layout ?? layoutDirectory(names));
}

interface Superblock {
  readonly rootNid: number;
  readonly inodes: number;
  readonly blocks: number;
  readonly metaBlock: number;
  readonly uuid: Buffer;
}

function superblock(fields: Superblock): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const at = SUPERBLOCK_OFFSET;
  block.writeUInt32LE(MAGIC, at);
  block.writeUInt8(Math.log2(BLOCK_BYTES), at + 12);
  block.writeUInt16LE(fields.rootNid, at + 14);
  block.writeBigUInt64LE(BigInt(fields.inodes), at + 16);
  block.writeUInt32LE(fields.blocks, at + 36);
  block.writeUInt32LE(fields.metaBlock, at + 40);
  fields.uuid.copy(block, at + 48, 0, 16);
  block.write('mvm-rootfs', at + 64, 'latin1');
  block.writeUInt32LE(FEATURE_CHUNKED_FILE, at + 80);
  return block.fill(0, at + SUPERBLOCK_BYTES);
}
