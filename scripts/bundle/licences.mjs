import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * @typedef {object} BundledPackage
 * @property {string} name
 * @property {string} version
 * @property {string} licence SPDX expression
 * @property {string} dir
 */

/** The packages from outside of the workspace that modules belong to, sorted. @param {string[]} modules @returns {BundledPackage[]} */
export function findPackages(modules) {
  const dirs = new Set(modules.map(packageDirOf).filter((dir) => dir !== undefined));
  return [...dirs]
    .map((dir) => {
      const { name, version, license } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
      if (typeof license !== 'string') throw new Error(`${name} ${version} does not say its licence`);
      return { name, version, licence: license, dir };
    })
    .sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** Names, versions and the full licence texts, as their licences ask for. @param {BundledPackage[]} packages */
export function renderLicences(packages) {
  const head = 'mvm contains code of these packages.\n';
  const parts = packages.map(({ name, version, licence, dir }) => {
    const title = `${name} ${version} (${licence})`;
    return `${title}\n${'-'.repeat(title.length)}\n\n${readLicence(dir, licence)}\n`;
  });
  return [head, ...parts].join('\n');
}

/** @param {string} dir @param {string} licence */
function readLicence(dir, licence) {
  const file = readdirSync(dir)
    .sort()
    .find((name) => /^(licen[cs]e|copying)(\.(md|txt))?$/i.test(name));
  return file === undefined
    ? `(The package has no licence file; it is under ${licence}.)`
    : readFileSync(join(dir, file), 'utf8').trim();
}

/** @param {string} id @returns {string | undefined} undefined for modules of the workspace */
function packageDirOf(id) {
  const path = id.replace(/^\0/, '').replace(/\?.*$/, '');
  if (!path.includes('/node_modules/')) return undefined;
  for (let dir = dirname(path); !dir.endsWith('/node_modules'); dir = dirname(dir)) {
    // Folders inside a package may have a package.json that only says the type of its modules.
    const manifest = join(dir, 'package.json');
    if (existsSync(manifest) && 'version' in JSON.parse(readFileSync(manifest, 'utf8'))) return dir;
  }
  return undefined;
}
