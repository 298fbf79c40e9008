import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '@mvm/guest-boot';
import { execa } from 'execa';
import { GUEST_DIRECTORIES, type GuestFiles } from './guest-files.js';

/** Every build has the same identifiers and times, so that equal contents give equal images. */
const FILE_SYSTEM_UUID = '6d766d00-0000-4000-8000-000000000001';
const HASH_SEED = '6d766d00-0000-4000-8000-000000000002';
const BUILD_TIME = '1700000000';
const SIZE_MIB = 8;

/**
 * The root file system: ext4 without journal, 8 MiB, to be mounted read-only. `stagingDir` must be empty and is left
 * filled. Throws `GuestImageError`.
 */
export async function buildRootfs(guest: GuestFiles, stagingDir: string, imagePath: string): Promise<void> {
  for (const directory of GUEST_DIRECTORIES) await mkdir(join(stagingDir, directory));
  const busybox = join(stagingDir, 'bin', 'busybox');
  await writeFile(busybox, guest.busybox);
  await chmod(busybox, 0o755);
  const links = await applets(busybox);
  for (const applet of links) await symlink('busybox', join(stagingDir, 'bin', applet));
  await symlink('../bin/busybox', join(stagingDir, 'sbin', 'init'));
  for (const [path, { data, mode }] of guest.rootfs) {
    await writeFile(join(stagingDir, path), data);
    await chmod(join(stagingDir, path), mode);
  }
  const time = { E2FSPROGS_FAKE_TIME: BUILD_TIME };
  const extended = `hash_seed=${HASH_SEED},root_owner=0:0,lazy_itable_init=0`;
  await runTool(
    'mkfs.ext4',
    [
      '-q',
      '-F',
      '-m',
      '0',
      '-L',
      'mvm-rootfs',
      '-U',
      FILE_SYSTEM_UUID,
      '-O',
      '^has_journal',
      '-E',
      extended,
    ].concat(['-d', stagingDir, imagePath, `${SIZE_MIB}M`]),
    { env: time },
  );
  const paths = [
    ...['/', ...GUEST_DIRECTORIES.map((path) => `/${path}`), '/bin/busybox', '/sbin/init'],
    ...links.map((applet) => `/bin/${applet}`),
    ...guest.rootfs.keys(),
  ];
  const commands = paths.flatMap((path) => [
    ...['uid', 'gid'].map((field) => `set_inode_field ${path} ${field} 0`),
    ...['atime', 'ctime', 'mtime'].map((field) => `set_inode_field ${path} ${field} @${BUILD_TIME}`),
  ]);
  await runTool('debugfs', ['-w', '-f', '-', imagePath], { env: time, input: `${commands.join('\n')}\n` });
}

async function applets(busybox: string): Promise<string[]> {
  const { stdout } = await execa(busybox, ['--list']);
  return stdout
    .split('\n')
    .filter((name) => /^[a-z[][a-z0-9_[-]*$/.test(name) && name !== 'busybox')
    .sort();
}
