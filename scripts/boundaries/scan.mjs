import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript6';
import { listPackages } from '../test/workspace.mjs';
import { RULES } from './rules.mjs';

/** @typedef {{ file: string, specifier: string, why: string }} Violation */

const SOURCE = /\.(ts|mts|js|mjs)$/;
const TEST = /(^|\/)(test|bench)\/|\.(test|property\.test)\.ts$|^vitest\.config\.ts$/;

/**
 * Reads every source file of the workspace (src, bin, test, bench and the package's own top level) and holds each
 * import against the rules; imports are found by the TypeScript scanner, so comments and strings do not count.
 * @param {string} root
 * @returns {{ files: number, violations: Violation[] }}
 */
export function findViolations(root) {
  /** @type {Violation[]} */
  const violations = [];
  let files = 0;
  for (const { dir } of listPackages(root)) {
    const owner = relative(root, dir);
    for (const path of sourceFiles(dir)) {
      files += 1;
      const text = readFileSync(join(dir, path), 'utf8');
      const file = { owner, path, product: !TEST.test(path) };
      const report = (/** @type {string} */ specifier, /** @type {string} */ why) =>
        violations.push({ file: `${owner}/${path}`, specifier, why });
      for (const { fileName: specifier } of ts.preProcessFile(text, true, true).importedFiles) {
        for (const rule of RULES) {
          if (rule.covers(file) && rule.forbids(specifier, file)) report(specifier, rule.why);
        }
      }
      if (/(^|\/)index\.ts$/.test(path) && /^\s*export\s*\*/m.test(text)) {
        report('export *', 'an index names what it exports');
      }
    }
  }
  return { files, violations };
}

/**
 * @param {string} dir
 * @param {string} [under]
 * @returns {string[]}
 */
function sourceFiles(dir, under = '') {
  return readdirSync(join(dir, under), { withFileTypes: true }).flatMap((entry) => {
    const path = under === '' ? entry.name : `${under}/${entry.name}`;
    if (entry.isDirectory())
      return ['node_modules', 'dist', 'testdata'].includes(entry.name) || entry.name.startsWith('.')
        ? []
        : sourceFiles(dir, path);
    return SOURCE.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : [];
  });
}
