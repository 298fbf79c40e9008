import type { Extent, Node } from '../tree/node.js';
import { moveBlocksDown } from './block-file.js';
import { FIRST_CONTENT_BLOCK } from './content.js';

/**
 * Moves what the tree still needs over what it does not: content of files that a later layer removed or replaced. Extents
 * get their new places. Returns the first block behind all content.
 */
export function compact(fd: number, nodes: Iterable<Node>): number {
  const extents: Extent[] = [];
  for (const node of nodes) if (node.kind === 'file') extents.push(...node.extents);
  extents.sort((a, b) => a.imageBlock - b.imageBlock);
  let next = FIRST_CONTENT_BLOCK;
  for (const extent of extents) {
    if (extent.imageBlock > next) {
      moveBlocksDown(fd, extent.imageBlock, next, extent.blocks);
      extent.imageBlock = next;
    }
    next += extent.blocks;
  }
  return next;
}
