import type { EntryKind } from '../tar/entry.js';

/** Blocks of the image that hold a file's content. Numbers of blocks of 4096 bytes. */
export interface Extent {
  /** First block inside the file. */
  readonly fileBlock: number;
  /** First block inside the image; changes when the image is compacted. */
  imageBlock: number;
  readonly blocks: number;
}

/** Owner, mode, time and attributes of a node. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** A directory that no layer describes: root's, 0755, of the epoch. */
const IMPLICIT: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSec: 0,
  mtimeNsec: 0,
  xattrs: new Map(),
};

export interface FileNode {
  readonly kind: 'file';
  attributes: Attributes;
  /** Apparent size in bytes. */
  readonly size: number;
  /** Blocks of one stretch of a sparse file, a power of two; 1 for a file without holes. */
  readonly chunkBlocks: number;
  readonly isSparse: boolean;
  /** Ascending. */
  readonly extents: Extent[];
}

export interface SymlinkNode {
  readonly kind: 'symlink';
  attributes: Attributes;
  /** One character per byte. */
  readonly target: string;
}

export interface SpecialNode {
  readonly kind: Extract<EntryKind, 'char' | 'block' | 'fifo'>;
  attributes: Attributes;
  readonly major: number;
  readonly minor: number;
}

export interface DirectoryNode {
  readonly kind: 'directory';
  attributes: Attributes;
  /** By name, one character per byte. */
  readonly children: Map<string, Child>;
}

export type Node = FileNode | SymlinkNode | SpecialNode | DirectoryNode;

/** A name in a directory. Two names may lead to the same node, unless it is a directory. */
export interface Child {
  node: Node;
  /** Number of the layer that made or last described the name. */
  layer: number;
}

export function newDirectory(attributes: Attributes = IMPLICIT): DirectoryNode {
  return { kind: 'directory', attributes, children: new Map() };
}
