/** A disk with two versions of the Debian package, and the demo's guest image. */
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

/** The names of the packages' files in /opt/mvm: of this checkout, and the same with a higher version. */
export const PACKAGES = { first: 'first.deb', next: 'next.deb' } as const;

/** For `tellStory`. Throws when the checkout is not built, or its Node for packages was not fetched and cannot be. */
export async function buildPackageImage(repo: string, guestImage: string, output: string): Promise<void> {
  const work = await mkdtemp(join(dirname(output), '.package-'));
  const tree = join(work, 'tree');
  try {
    await mkdir(tree);
    const packages = join(work, 'packages');
    await execa(process.execPath, [
      ...[join(repo, 'scripts/package/main.mjs'), '--uncompressed'],
      ...['--out', packages],
    ]);
    const [name = ''] = await readdir(packages);
    await rename(join(packages, name), join(tree, PACKAGES.first));
    await raiseVersion(join(tree, PACKAGES.first), join(work, 'next'), join(tree, PACKAGES.next));
    await cp(guestImage, join(tree, 'image'), { recursive: true });
    const { stdout } = await execa('du', ['-sm', tree]);
    const mib = Math.ceil(Number.parseInt(stdout, 10) * 1.1) + 32;
    await execa('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', '-d', tree, output, `${mib}M`]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function raiseVersion(from: string, work: string, to: string): Promise<void> {
  await execa('dpkg-deb', ['--raw-extract', from, work]);
  const control = join(work, 'DEBIAN/control');
  const text = await readFile(control, 'utf8');
  await writeFile(control, text.replace(/^Version: (.*)$/m, 'Version: $1+next'));
  await execa('dpkg-deb', ['--root-owner-group', '-Znone', '--build', work, to]);
}
