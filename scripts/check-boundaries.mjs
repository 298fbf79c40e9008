/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * What `turbo boundaries` cannot see: subpaths, node: modules, third-party modules, `export *`. The rules are in
 * boundaries/rules.mjs. Exit status 1 and one line per violation when there are any.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findViolations } from './boundaries/scan.mjs';

const root = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..');
const { files, violations } = findViolations(root);
for (const { file, specifier, why } of violations) console.error(`${file}: ${specifier}: ${why}`);
console.log(`Checked ${files} files against the import rules: ${violations.length} violations`);
process.exitCode = violations.length === 0 && files > 0 ? 0 : 1;
