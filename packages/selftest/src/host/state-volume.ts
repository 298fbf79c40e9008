import { mkdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';

const VOLUME_MIB = 4096;
/**
 * Nothing that hostd does not make durable itself reaches the disk within a run: ext4 commits on its own only every
 * ten minutes.
 */
const MOUNT_OPTIONS = 'loop,noatime,nodev,commit=600';

/** The file system that holds hostd's state directory, and can lose power. */
export interface StateVolume {
  /**
   * What a loss of power would leave: a copy of the disk as it is now. What was written but not made durable is not in
   * it, except what the kernel has written back by itself. Nothing may write meanwhile.
   */
  copyDisk(): Promise<void>;
  /** Lose everything since the last `copyDisk`, and come up with that, its journal replayed. */
  comeBack(): Promise<void>;
}

/**
 * An ext4 file system in a sparse file below `dir`, mounted on `mountPoint`; null when this host has no loop devices or
 * no ext4, with the reason. The mount ends with the mount namespace.
 * PRIVILEGE: mounts. SAFETY: only paths below `dir`, which the caller has made.
 */
export async function createStateVolume(
  dir: string,
  mountPoint: string,
): Promise<{ readonly volume: StateVolume } | { readonly volume: null; readonly reason: string }> {
  const disk = join(dir, 'state.disk');
  const copy = join(dir, 'state.copy');
  const mount = (): Promise<string> =>
    runTool('mount', ['-t', 'ext4', '-o', MOUNT_OPTIONS, disk, mountPoint]);
  try {
    await mkdir(mountPoint, { mode: 0o700 });
    await writeFile(disk, '', { flag: 'wx', mode: 0o600 });
    await truncate(disk, VOLUME_MIB * 1_048_576);
    await runTool('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=1,lazy_journal_init=1', disk]);
    await mount();
  } catch (error) {
    await rm(disk, { force: true });
    return { volume: null, reason: error instanceof Error ? error.message : String(error) };
  }
  return {
    volume: {
      copyDisk: async () => {
        await rm(copy, { force: true });
        await runTool('cp', ['--sparse=always', disk, copy]);
      },
      comeBack: async () => {
        // What the old mount still writes goes to a file without a name.
        await runTool('umount', ['--lazy', mountPoint]);
        await rename(copy, disk);
        await mount();
      },
    },
  };
}
