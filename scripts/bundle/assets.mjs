import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const REFERENCE = /new URL\(\s*'(\.{1,2}\/[^']+)',\s*import\.meta\.url\s*\)/g;

/**
 * Carries along the files that a module finds by its own place, `new URL('<path>', import.meta.url)`: other programs are
 * bundled, other files copied; of a `package.json` only name and version are kept. A file that is missing fails the build.
 * @returns {import('rolldown').Plugin}
 */
export function assetsPlugin() {
  return {
    name: 'mvm-assets',
    transform(code, id) {
      if (!id.startsWith('/') || id.includes('/node_modules/') || !code.includes('import.meta.url'))
        return null;
      const replaced = code.replace(REFERENCE, (_, path) => {
        const target = join(dirname(id), path);
        const owner = basename(packageDirOf(id));
        const source = target.replace(/\.js$/, '.ts');
        if (path.endsWith('.js') && existsSync(source)) {
          const name = `${owner}-${basename(dirname(source))}.js`;
          this.emitFile({ type: 'chunk', id: source, fileName: name });
          return `new URL('./${name}', import.meta.url)`;
        }
        const fileName = `assets/${owner}.${basename(target)}`;
        this.emitFile({ type: 'asset', fileName, source: readAsset(target) });
        return `new URL('./${fileName}', import.meta.url)`;
      });
      // A file that is found in another way would be missing on somebody's host.
      if (code.replace(REFERENCE, '').includes('import.meta.url'))
        throw new Error(`${id} uses import.meta.url otherwise than in new URL('<path>', import.meta.url)`);
      return replaced === code ? null : { code: replaced, map: null };
    },
  };
}

/** @param {string} path */
function readAsset(path) {
  if (basename(path) !== 'package.json') return readFileSync(path);
  const { name, version } = JSON.parse(readFileSync(path, 'utf8'));
  return `${JSON.stringify({ name, version })}\n`;
}

/** The folder of the package that a module belongs to. @param {string} id */
function packageDirOf(id) {
  let dir = dirname(id);
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}
