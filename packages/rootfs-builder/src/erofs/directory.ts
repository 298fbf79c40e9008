import { BLOCK_BYTES } from './block-file.js';

const DIRENT_BYTES = 12;

/** One name of a directory; one character per byte. */
export interface Dirent {
  readonly name: string;
  readonly nid: number;
  /** Source: Linux, include/linux/fs_types.h (FT_*). */
  readonly fileType: number;
}

/** How names fall into blocks: the number of names in each, and the directory's size in bytes. */
export interface DirectoryLayout {
  readonly counts: readonly number[];
  readonly size: number;
}

/** Names in the order of their bytes, `.` and `..` among them. Pure. */
export function layoutDirectory(names: readonly string[]): DirectoryLayout {
  const counts: number[] = [];
  let count = 0;
  let used = 0;
  for (const name of names) {
    const bytes = DIRENT_BYTES + name.length;
    if (used + bytes > BLOCK_BYTES) {
      counts.push(count);
      count = 0;
      used = 0;
    }
    count += 1;
    used += bytes;
  }
  counts.push(count);
  return { counts, size: (counts.length - 1) * BLOCK_BYTES + used };
}

/** A directory's content, `layout.size` bytes. Pure. Source: Linux, fs/erofs/erofs_fs.h (struct erofs_dirent). */
export function encodeDirectory(dirents: readonly Dirent[], layout: DirectoryLayout): Buffer {
  const content = Buffer.alloc(layout.size);
  let next = 0;
  layout.counts.forEach((count, block) => {
    const start = block * BLOCK_BYTES;
    let nameAt = count * DIRENT_BYTES;
    for (let index = 0; index < count; index += 1, next += 1) {
      const { name, nid, fileType } = dirents[next] ?? { name: '', nid: 0, fileType: 0 };
      const at = start + index * DIRENT_BYTES;
      content.writeBigUInt64LE(BigInt(nid), at);
      content.writeUInt16LE(nameAt, at + 8);
      content.writeUInt8(fileType, at + 10);
      content.write(name, start + nameAt, 'latin1');
      nameAt += name.length;
    }
  });
  return content;
}
