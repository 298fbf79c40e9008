/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `node isolated.mjs <tier> [filter…]`, in a package: runs each test file of a tier that needs root in a network and
 * mount namespace of its own, one after the other, so that neither the host nor another file sees what it does to
 * interfaces, nftables, routing rules and mounts. Filters are parts of file names. Writes one report for all files,
 * `.test-results/<tier>.json`, as vitest would.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mergeReports } from './merge-reports.mjs';
import { run } from './run.mjs';

const [tier = '', ...filters] = process.argv.slice(2);
const files = readdirSync(join('test', tier), { recursive: true })
  .map((file) => join('test', tier, String(file)))
  .filter(
    (file) =>
      file.endsWith('.test.ts') && (filters.length === 0 || filters.some((part) => file.includes(part))),
  )
  .sort();
if (files.length === 0) {
  console.error(`no test file of the tier ${tier} matches`);
  process.exit(1);
}

const report = join('.test-results', `${tier}.json`);
const part = join('.test-results', `${tier}.part.json`);
mkdirSync('.test-results', { recursive: true });
rmSync(report, { force: true });
const parts = [];
for (const file of files) {
  rmSync(part, { force: true });
  const namespaces = ['--net', '--mount', '--propagation', 'private'];
  const vitest = ['vitest', 'run', '--project', tier, `--outputFile.json=${part}`, file];
  const exitCode = await run('unshare', [...namespaces, '--', ...vitest], { cwd: process.cwd() });
  parts.push({ file, exitCode, reportText: readIfPresent(part) });
}
rmSync(part, { force: true });
const merged = mergeReports(parts);
writeFileSync(report, JSON.stringify(merged));
process.exitCode = merged.success ? 0 : 1;

/** @param {string} path */
function readIfPresent(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
