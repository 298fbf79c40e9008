import { readSync } from 'node:fs';
import { BLOCK_BYTES } from '../erofs/block-file.js';
import { ContentWriter } from '../erofs/content.js';
import { writeImage } from '../erofs/write-image.js';
import { isStorable } from '../erofs/xattrs.js';
import { limitExceeded } from '../errors.js';
import type { TarHandler } from '../tar/entry.js';
import { TarReader } from '../tar/reader.js';
import { LayeredTree } from '../tree/layered-tree.js';
import type { BuildJob, BuildProgress, BuiltRootfs } from './job.js';
import { readLayer } from './read-layer.js';

/** Longest /etc/passwd and /etc/group that are looked at. */
const MAX_ACCOUNTS_BYTES = 1024 * 1024;
const PROGRESS_BYTES = 4 * 1024 * 1024;

/**
 * Builds the root file system of a job in the process that calls it. Needs no privileges and opens no file. Throws
 * `image.bad_layer`, `image.bad_digest`, `image.limit_exceeded`, and what writing throws.
 */
export async function build(
  job: BuildJob,
  onProgress: (progress: BuildProgress) => void,
): Promise<BuiltRootfs> {
  const { limits, layers, outputFd } = job;
  if (layers.length > limits.maxLayers) throw limitExceeded('layers', limits.maxLayers);
  const tree = new LayeredTree(limits);
  const content = new ContentWriter(outputFd, limits);
  const dropped = new Set<string>();
  const totalBytes = layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  let doneBytes = 0;
  let reported = 0;
  let left = limits.maxBytes;
  for (const [index, layer] of layers.entries()) {
    tree.beginLayer(index + 1);
    const reader = new TarReader(applyTo(tree, content, dropped), limits);
    left -= await readLayer(layer, {
      maxBytes: left,
      onRead: (bytes) => {
        doneBytes += bytes;
        if (doneBytes - reported < PROGRESS_BYTES && doneBytes < totalBytes) return;
        reported = doneBytes;
        onProgress({ layer: index + 1, layers: layers.length, doneBytes, totalBytes });
      },
      onChunk: (chunk) => reader.push(chunk),
    });
    reader.end();
    tree.endLayer();
  }
  content.flush();
  const text = (path: string): string | null => readText(outputFd, tree, path);
  const accounts = { passwd: text('etc/passwd'), group: text('etc/group') };
  const { sizeBytes, inodes } = writeImage(outputFd, tree.root, Buffer.from(job.uuid, 'hex'));
  return {
    sizeBytes,
    inodes,
    ...accounts,
    droppedXattrs: [...dropped].sort().slice(0, 20),
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function applyTo(tree: LayeredTree, content: ContentWriter, dropped: Set<string>): TarHandler {
  let isOpen = false;
  return {
    entry: (entry) => {
      for (const name of entry.xattrs.keys()) if (!isStorable(name)) dropped.add(name);
      isOpen = false;
      tree.apply(entry, (file) => {
        isOpen = true;
        return content.begin(file);
      });
    },
    data: (chunk) => {
      if (isOpen) content.data(chunk);
    },
    endFile: () => {
      if (isOpen) content.end();
      isOpen = false;
    },
  };
}

/** Content of a small file of the tree, before the tree is compacted. Sparse files are not read. */
function readText(fd: number, tree: LayeredTree, path: string): string | null {
  const node = tree.lookup(path);
  if (node?.kind !== 'file' || node.isSparse || node.size > MAX_ACCOUNTS_BYTES) return null;
  const text = Buffer.alloc(node.size);
  const start = (node.extents[0]?.imageBlock ?? 0) * BLOCK_BYTES;
  for (let done = 0; done < text.length; ) {
    const bytes = readSync(fd, text, done, text.length - done, start + done);
    if (bytes === 0) return null;
    done += bytes;
  }
  return text.toString('utf8');
}
