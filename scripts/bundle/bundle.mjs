import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { assetsPlugin } from './assets.mjs';
import { findPackages, renderLicences } from './licences.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

/**
 * @typedef {object} BundleOptions
 * @property {Record<string, string>} entries program name to the absolute path of its TypeScript source
 * @property {string} outDir is emptied first
 * @property {string[]} [external] packages that are left out and loaded at run time
 * @property {string} [interpreter] absolute path of the Node that runs the programs when they are executed
 */

/**
 * Bundles programs out of the workspace's sources, with what they have in common in shared files. Names are kept and
 * each file has a source map, so that stack traces lead to the sources. The same sources give the same bytes.
 * @param {BundleOptions} options
 * @returns {Promise<string[]>} paths of the modules that were bundled
 */
export async function bundle({ entries, outDir, external = [], interpreter }) {
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  const build = await rolldown({
    input: entries,
    platform: 'node',
    external: external.flatMap((name) => [name, new RegExp(`^${name}/`)]),
    resolve: { conditionNames: ['@mvm/source', 'node', 'import', 'default'] },
    plugins: [assetsPlugin()],
    onLog(level, log, handler) {
      // A bundle that only warns may lack something: it fails here and not on somebody's host.
      handler(level === 'warn' ? 'error' : level, log);
    },
  });
  try {
    const { output } = await build.write({
      dir: outDir,
      format: 'esm',
      // All files lie in one folder: what the assets plugin writes is relative to it.
      entryFileNames: '[name].js',
      chunkFileNames: '[name]-[hash].js',
      assetFileNames: 'assets/[name][extname]',
      ...(interpreter && { banner: (chunk) => (chunk.name in entries ? `#!${interpreter}` : '') }),
      sourcemap: true,
      // From the repository's root: where it is checked out makes no difference.
      sourcemapPathTransform: (source, map) => relative(root, resolve(dirname(map), source)),
      comments: { legal: false, annotation: false, jsdoc: false },
    });
    const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
    writeFileSync(join(outDir, 'THIRD-PARTY-LICENSES.txt'), renderLicences(findPackages(modules)));
    writeFileSync(join(outDir, 'package.json'), '{ "type": "module" }\n');
    return modules;
  } finally {
    await build.close();
  }
}
