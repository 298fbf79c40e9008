/**
 * The last step of apps/cli's build: bundles `mvm` into dist/bundle, because loading hundreds of small modules took more
 * time than the work of most commands. bin/mvm.js uses the bundle while nothing in inputs.json is newer.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listPackages } from '../test/workspace.mjs';
import { bundle } from './bundle.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const cli = join(root, 'apps/cli');
const outDir = join(cli, 'dist/bundle');

const modules = await bundle({
  entries: { mvm: join(cli, 'src/main.ts') },
  outDir,
  external: ['@mvm/selftest'],
});
// What the compiler writes anew whenever it compiles one of the bundled packages.
const inputs = listPackages(root)
  .filter(({ dir }) => modules.some((id) => id.startsWith(`${dir}/src/`)))
  .map(({ dir }) => relative(outDir, join(dir, 'dist/.tsbuildinfo')));
writeFileSync(join(outDir, 'inputs.json'), `${JSON.stringify(inputs)}\n`);
