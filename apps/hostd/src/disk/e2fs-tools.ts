import { CodedError } from '@mvm/protocol';
import { execa } from 'execa';
import { noProcesses } from '../system/spawn-error.js';

/** A fixed point in time, so that equal content makes equal images: 2020-01-01T00:00:00Z, in seconds. */
const IMAGE_TIME = '1577836800';

/**
 * Runs mkfs.ext4 with these arguments. Throws `resource_exhausted` `disk.full`, `failed_precondition`
 * `disk.mkfs_missing`, or `internal` `disk.mkfs_failed` with the tool's own words. Source: mke2fs(8).
 */
export async function runMkfs(args: readonly string[]): Promise<void> {
  await runTool('mkfs.ext4', ['-q', '-F', ...args]);
}

/**
 * Gives the root directory and these files of an unmounted image the fixed time and root's ownership: mkfs.ext4 copies
 * the times of change from the staged files, which cannot be set. Errors as `runMkfs`. Source: debugfs(8).
 */
export async function fixInodes(image: string, names: readonly string[]): Promise<void> {
  const commands = ['<2>', ...names.map((name) => `/${name}`)].flatMap((inode) => [
    ...['uid', 'gid'].map((field) => `set_inode_field ${inode} ${field} 0`),
    ...['atime', 'ctime', 'mtime'].map((field) => `set_inode_field ${inode} ${field} @${IMAGE_TIME}`),
  ]);
  await runTool('debugfs', ['-w', '-f', '-', image], `${commands.join('\n')}\n`);
}

async function runTool(tool: string, args: readonly string[], input = ''): Promise<void> {
  const result = await execa(tool, args, {
    reject: false,
    input,
    extendEnv: false,
    env: {
      PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      E2FSPROGS_FAKE_TIME: IMAGE_TIME,
      LC_ALL: 'C',
    },
  });
  if (result.exitCode === 0) return;
  if (result.code === 'ENOENT') {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'disk.mkfs_missing',
      message: `${tool} is not installed`,
      hint: 'Install it: apt-get install e2fsprogs',
    });
  }
  const exhausted = noProcesses(tool, result);
  if (exhausted !== null) throw exhausted;
  const said = result.stderr.trim().slice(-500);
  const full = /no space left|ENOSPC/i.test(said);
  throw new CodedError({
    code: full ? 'resource_exhausted' : 'internal',
    reason: full ? 'disk.full' : 'disk.mkfs_failed',
    message: full ? 'no space left for a disk image' : `${tool} failed: ${said || result.shortMessage}`,
    hint: full ? 'Free space under the state directory and try again.' : undefined,
    cause: result,
  });
}
