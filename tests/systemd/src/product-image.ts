/**
 * A disk with the checkout as docs/install.md has it in /opt/mvm: built, with the run-time dependencies of the three
 * programs, a guest image, and the Node that runs this.
 */
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { execa } from 'execa';

const APPS = ['apps/hostd', 'apps/agentd', 'apps/cli'];

/**
 * Writes the disk's ext4 image to `output`. `guestImage` is the directory of a built guest image; it arrives in
 * /opt/mvm/.cache/guest-image. Node arrives as /opt/mvm/.node/bin/node. Throws when the checkout is not built.
 */
export async function buildProductImage(repo: string, guestImage: string, output: string): Promise<void> {
  const tree = await mkdtemp(join(dirname(output), '.product-'));
  try {
    for (const package_ of await dependencyClosure(repo)) {
      const from = join(repo, package_);
      const to = join(tree, package_);
      await mkdir(dirname(to), { recursive: true });
      await cp(from, to, {
        recursive: true,
        verbatimSymlinks: true,
        filter: (path) => !isDevelopment(relative(from, path)),
      });
    }
    for (const app of APPS) {
      if (!existsSync(join(tree, app, 'dist/main.js')))
        throw new Error(`${app} is not built: run pnpm build`);
    }
    for (const path of ['deploy', 'docs', 'examples'])
      await cp(join(repo, path), join(tree, path), { recursive: true });
    await cp(guestImage, join(tree, '.cache/guest-image', basename(guestImage)), { recursive: true });
    await mkdir(join(tree, '.node/bin'), { recursive: true });
    await copyFile(process.execPath, join(tree, '.node/bin/node'));
    const { stdout } = await execa('du', ['-sm', tree]);
    const mib = Math.ceil(Number.parseInt(stdout, 10) * 1.15) + 32;
    await execa('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', '-d', tree, output, `${mib}M`]);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/** Sources stay behind, and so does what tests leave. */
function isDevelopment(path: string): boolean {
  const first = path.split(sep)[0] ?? '';
  return (
    ['src', 'test', 'bench', '.turbo', '.test-results', '.bench-results'].includes(first) &&
    !path.includes('node_modules')
  );
}

/**
 * Folders, relative to the repository, of the apps and of all that they depend on at run time: workspace packages, and
 * pnpm's folders (`node_modules/.pnpm/<id>`), whose links lead to their own dependencies.
 */
async function dependencyClosure(repo: string): Promise<string[]> {
  const seen = new Set<string>();
  const visit = async (directory: string): Promise<void> => {
    const path = relative(repo, directory);
    const pnpm = /^node_modules\/\.pnpm\/[^/]+/.exec(path)?.[0];
    const key = pnpm ?? path;
    if (seen.has(path)) return;
    seen.add(path);
    seen.add(key);
    const manifest = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as {
      dependencies?: Record<string, string>;
      optionalDependencies?: Record<string, string>;
    };
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })) {
      const link =
        pnpm === undefined ? join(directory, 'node_modules', name) : join(repo, pnpm, 'node_modules', name);
      if (existsSync(link)) await visit(await realpath(link));
    }
  };
  for (const app of APPS) await visit(await realpath(join(repo, app)));
  return [...seen].filter((path) => !/^node_modules\/\.pnpm\/[^/]+\/./.test(path)).sort();
}
