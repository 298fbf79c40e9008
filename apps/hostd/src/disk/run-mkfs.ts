import { CodedError } from '@mvm/protocol';
import { execa } from 'execa';

/** A fixed point in time, so that equal content makes equal images: 2020-01-01T00:00:00Z, in seconds. */
const IMAGE_TIME = '1577836800';

/**
 * Runs mkfs.ext4 with these arguments. Throws `resource_exhausted` `disk.full`, `failed_precondition`
 * `disk.mkfs_missing`, or `internal` `disk.mkfs_failed` with the tool's own words. Source: mke2fs(8).
 */
export async function runMkfs(args: readonly string[]): Promise<void> {
  const result = await execa('mkfs.ext4', ['-q', '-F', ...args], {
    reject: false,
    stdin: 'ignore',
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
      message: 'mkfs.ext4 is not installed',
      hint: 'install it: apt-get install e2fsprogs',
    });
  }
  const said = result.stderr.trim().slice(-500);
  const full = /no space left|ENOSPC/i.test(said);
  throw new CodedError({
    code: full ? 'resource_exhausted' : 'internal',
    reason: full ? 'disk.full' : 'disk.mkfs_failed',
    message: full ? 'no space left for a disk image' : `mkfs.ext4 failed: ${said || result.shortMessage}`,
    hint: full ? 'free space under the state directory and try again' : undefined,
    cause: result,
  });
}
