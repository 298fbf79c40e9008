import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type GuestVariant, readGuestFiles } from '../../src/guest-files.js';
import { renderInitrd } from '../../src/initrd.js';
import { buildRootfs } from '../../src/rootfs.js';

const guestDir = join(import.meta.dirname, '../../guest');
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-image-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function build(name: string, variant: GuestVariant = 'demo'): Promise<string> {
  await mkdir(join(directory, `${name}.tree`));
  const path = join(directory, `${name}.ext4`);
  await buildRootfs(await readGuestFiles(variant), join(directory, `${name}.tree`), path);
  return path;
}

function debugfs(image: string, command: string): string {
  return execFileSync('debugfs', ['-R', command, image], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

describe('the root file system', () => {
  it('is sound, is root’s, starts busybox’s init, and runs our set-up', async () => {
    const path = await build('rootfs');
    execFileSync('e2fsck', ['-fn', path], { stdio: 'ignore' });
    expect(debugfs(path, 'stat /sbin/init')).toContain('Fast link dest: "../bin/busybox"');
    expect(debugfs(path, 'stat /sbin/mvm-setup')).toMatch(/Mode:\s+0755[\s\S]*User:\s+0\s+Group:\s+0/);
    expect(debugfs(path, 'cat /etc/inittab')).toContain('::sysinit:/sbin/mvm-setup');
    expect(debugfs(path, 'ls -p /bin')).toContain('/ping/');
  });

  it('lets nobody run programs in it, unless it is one for tests', async () => {
    const [demo, test] = [await build('demo'), await build('test', 'test')];
    expect(debugfs(demo, 'ls -p /etc/mvm')).not.toContain('/request/');
    expect(debugfs(demo, 'ls -p /sbin')).not.toContain('reference');
    expect(debugfs(test, 'ls -p /etc/mvm')).toContain('/request/');
    expect(debugfs(test, 'cat /sbin/mvm-agent.reference')).toBe(debugfs(demo, 'cat /sbin/mvm-agent'));
  });

  it('is the same, byte for byte, whenever it is built', async () => {
    const [first, second] = [await build('first'), await build('second')];
    const sha256 = async (path: string): Promise<string> =>
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
    expect(await sha256(second)).toBe(await sha256(first));
    expect(debugfs(first, 'stat /sbin/mvm-setup')).toMatch(/ctime: 0x6553f100/);
  });
});

describe('the initrd', () => {
  it('is an archive that others can read', async () => {
    const guest = await readGuestFiles();
    const module = { name: 'a_b', fileName: 'a-b.ko', data: Buffer.from('code'), dependsOn: [] };
    const archive = join(directory, 'initrd.cpio');
    await writeFile(archive, renderInitrd(guest, [module]));
    execFileSync(
      'busybox',
      ['cpio', '-id', '-F', archive, 'init', 'bin/busybox', 'modules/order', 'modules/a-b.ko'],
      {
        cwd: directory,
        stdio: 'ignore',
      },
    );
    expect(await readFile(join(directory, 'modules/order'), 'utf8')).toBe('a-b.ko\n');
    expect(await readFile(join(directory, 'modules/a-b.ko'), 'utf8')).toBe('code');
    expect((await readFile(join(directory, 'bin/busybox'))).equals(guest.busybox)).toBe(true);
    expect((await readFile(join(directory, 'init'))).equals(guest.initrdInit)).toBe(true);
  });
});

describe('the guest’s programs', () => {
  it.each(readdirSync(guestDir).filter((name) => name !== 'inittab'))(
    '%s is a shell program without a syntax error',
    (name) => {
      execFileSync('busybox', ['sh', '-n', join(guestDir, name)]);
    },
  );
});
