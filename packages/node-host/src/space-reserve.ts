/**
 * Room for the writes that free room: files that are written in advance, each of which becomes the new version of a file
 * when the disk has no block or no inode left.
 *
 * INVARIANTS
 * - A file of the reserve becomes another file by rename: no new inode, no new block, and the old version or the new one is
 *   there after whatever crash.
 * - What replaces a file frees the old one's blocks and inode, so that the reserve can be made whole again.
 */
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, writeFileAtomic, writeNewFile } from './durable-file.js';

/** How many files of how many bytes a reserve has; sizes from small to large. */
export type ReserveSizes = readonly { readonly bytes: number; readonly count: number }[];

/** 384 KiB: most of what hostd writes fits into a block, a plan of many steps does not. */
const DEFAULT_RESERVE: ReserveSizes = [
  { bytes: 4_096, count: 32 },
  { bytes: 16_384, count: 16 },
];

export interface SpaceReserve {
  /**
   * `writeFileAtomic`, also when there is no space: then out of the reserve, which is filled again as soon as there is.
   * The file must be on the reserve's file system. Throws as Node.js has it; ENOSPC when the reserve is used up too.
   */
  writeFileAtomic(path: string, data: string): Promise<void>;
  /** Make what is missing. Whether the reserve is whole; it never throws. */
  fill(): Promise<boolean>;
}

/** Whether a file system says that it has no block, no inode or no quota left. */
export function isOutOfSpace(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** The reserve in a directory of its own, which is made, 0700. */
export function createSpaceReserve(dir: string, sizes: ReserveSizes = DEFAULT_RESERVE): SpaceReserve {
  const all = sizes.flatMap(({ bytes, count }) =>
    Array.from({ length: count }, (_, index) => ({ bytes, path: join(dir, `${bytes}-${index}`) })),
  );
  /** Files that a write has in hand, or is making. */
  const busy = new Set<string>();
  let filling: Promise<boolean> | null = null;

  async function makeOne({ bytes, path }: (typeof all)[number]): Promise<void> {
    const found = await stat(path).catch(() => null);
    if (found?.size === bytes) return;
    await rm(path, { force: true });
    // Not zeros: a file system may keep those as a hole.
    await writeNewFile(path, Buffer.alloc(bytes, 0x2e), 0o600);
  }

  async function fillNow(): Promise<boolean> {
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      for (const file of all) {
        if (busy.has(file.path)) continue;
        busy.add(file.path);
        await makeOne(file).finally(() => busy.delete(file.path));
      }
      return true;
    } catch {
      return false;
    }
  }

  function fill(): Promise<boolean> {
    filling ??= fillNow().finally(() => {
      filling = null;
    });
    return filling;
  }

  /** Turn a file of the reserve into the new version of another. False when it is not there. */
  async function spend(file: string, path: string, data: Buffer): Promise<boolean> {
    const handle = await open(file, 'r+').catch(() => null);
    if (handle === null) return false;
    try {
      // From its beginning, and until all is written: one write may be short.
      await handle.writeFile(data);
      await handle.truncate(data.length);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(file, path);
    await syncDirectory(dirname(path));
    return true;
  }

  return {
    fill,
    writeFileAtomic: async (path, data) => {
      try {
        await writeFileAtomic(path, data);
      } catch (error) {
        if (!isOutOfSpace(error)) throw error;
        const bytes = Buffer.from(data);
        for (const file of all) {
          if (file.bytes < bytes.length || busy.has(file.path)) continue;
          busy.add(file.path);
          const spent = await spend(file.path, path, bytes).finally(() => busy.delete(file.path));
          if (!spent) continue;
          void fill();
          return;
        }
        throw error;
      }
    },
  };
}
