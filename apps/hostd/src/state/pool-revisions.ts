import { copyFile, link, mkdir, open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type ResolvedImage, resolveImage } from '@mvm/image-store';
import { syncDirectory } from './atomic-file.js';
import { exists } from './exists.js';
import { errnoOf, fromFileError } from './fs-error.js';
import type { Layout, PoolAddress } from './layout.js';

/**
 * A pool's copy of its image: `artifacts/revisions/<hex>/` holds hard links to the registered files, `artifacts/current`
 * points to the one that the next start boots.
 *
 * INVARIANTS
 * - A revision's directory is complete or absent: it is filled under another name and renamed.
 * - `current` always points to a complete revision: it is replaced by rename.
 */
export interface PoolRevisions {
  /** The image that a reference means now. Errors as of `resolveImage`. */
  resolve(ref: string): Promise<ResolvedImage>;
  /** Make the image the pool's current revision; nothing when it is already. Revisions not in `keep` are removed. */
  activate(pool: PoolAddress, image: ResolvedImage, keep: readonly string[] | 'all'): Promise<void>;
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Another file system, or too many links: a copy does as well, it only takes space.
    if (errnoOf(error) !== 'EXDEV' && errnoOf(error) !== 'EMLINK') throw error;
    await copyFile(from, to);
    const copy = await open(to, 'r');
    try {
      await copy.sync();
    } finally {
      await copy.close();
    }
  }
}

export function createPoolRevisions(layout: Layout): PoolRevisions {
  const fill = async (pool: PoolAddress, image: ResolvedImage): Promise<void> => {
    const target = layout.revisionDir(pool, image.digest);
    if (await exists(target)) return;
    const parent = layout.revisionsDir(pool);
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const partial = join(parent, '.partial');
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { mode: 0o700 });
    await linkOrCopy(image.kernelPath, join(partial, 'vmlinux'));
    await linkOrCopy(image.rootfsPath, join(partial, 'rootfs.ext4'));
    if (image.initrdPath !== null) await linkOrCopy(image.initrdPath, join(partial, 'initrd'));
    await syncDirectory(partial);
    await rename(partial, target);
    await syncDirectory(parent);
  };
  const pointTo = async (pool: PoolAddress, digest: string): Promise<void> => {
    const current = layout.currentRevision(pool);
    const target = `revisions/${digest.slice('sha256:'.length)}`;
    const before = await readlink(current).catch(() => null);
    if (before === target) return;
    const next = `${current}.next`;
    await rm(next, { force: true });
    await symlink(target, next);
    await rename(next, current);
    await syncDirectory(join(layout.poolDir(pool), 'artifacts'));
  };
  const removeOthers = async (pool: PoolAddress, keep: readonly string[]): Promise<void> => {
    const kept = new Set(keep.map((digest) => digest.replace(/^sha256:/, '')));
    for (const name of await readdir(layout.revisionsDir(pool))) {
      if (!kept.has(name)) await rm(join(layout.revisionsDir(pool), name), { recursive: true, force: true });
    }
  };
  return {
    resolve: (ref) => resolveImage(layout.imagesDir, ref),
    activate: async (pool, image, keep) => {
      try {
        await fill(pool, image);
        await pointTo(pool, image.digest);
        if (keep !== 'all') await removeOthers(pool, [...keep, image.digest]);
      } catch (error) {
        throw fromFileError(
          error,
          `cannot prepare image ${image.name} for pool ${pool.tenant_id}/${pool.pool_id}`,
        );
      }
    },
  };
}
