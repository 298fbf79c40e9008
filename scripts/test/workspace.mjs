import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} WorkspacePackage
 * @property {string} name as in package.json, e.g. `@mvm/protocol`
 * @property {string} dir absolute path
 * @property {Record<string, string>} scripts
 * @property {string[]} dependencies names of what it needs at run time
 */

/**
 * Every package of the workspace, sorted by name. Throws when the folder is not a workspace.
 * @param {string} root
 * @returns {WorkspacePackage[]}
 */
export function listPackages(root) {
  const parents = ['apps', 'packages', 'tests'].map((parent) => join(root, parent));
  const dirs = parents
    .filter((parent) => existsSync(parent))
    .flatMap((parent) => readdirSync(parent).map((entry) => join(parent, entry)));
  dirs.push(join(root, 'scripts/demo'));
  return dirs
    .filter((dir) => existsSync(join(dir, 'package.json')))
    .map((dir) => {
      const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
      return {
        name: manifest.name,
        dir,
        scripts: manifest.scripts ?? {},
        dependencies: Object.keys(manifest.dependencies ?? {}),
      };
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}
