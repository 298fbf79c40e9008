/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `pnpm bench [package or bench…]`: runs the `bench` script of every package that has one, one after the other, and then
 * writes docs/benchmarks.md from what they report. A bench reports by writing `.bench-results/<name>.json` in its
 * package; its shape is in bench/report.mjs. With parts of names, only those packages, and in other packages only files
 * `bench/<name>*.bench.ts`; the page keeps its other sections. `--render` only writes the page again.
 * Exit status 1 when a bench fails, reports nothing, or misses a target.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missedTargets, parseReport, renderPage, renderReport, updatePage } from './bench/report.mjs';
import { run } from './test/run.mjs';
import { listPackages } from './test/workspace.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values, positionals } = parseArgs({
  options: { render: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const packages = listPackages(root).filter(({ scripts }) => 'bench' in scripts);
/** The parts of file names that a package's bench script is to run; empty: all; null: it is not to run. */
const selected = (/** @type {{ name: string, dir: string }} */ { name, dir }) => {
  if (positionals.length === 0 || positionals.some((part) => name.includes(part))) return [];
  const files = readdirSync(join(dir, 'bench'));
  const parts = positionals.filter((part) =>
    files.some((file) => file.startsWith(part) && file.endsWith('.bench.ts')),
  );
  return parts.length === 0 ? null : parts;
};
/** @type {typeof packages} */
const ran = [];
/** @type {string[]} */
const failures = [];

if (!values.render) {
  const built = await run(
    join(root, 'node_modules/.bin/turbo'),
    ['run', 'build', '--output-logs=errors-only'],
    { cwd: root },
  );
  if (built !== 0) process.exit(built);
  // Here, because the benches that boot guests run in a network namespace that reaches no archive.
  const image = await run(join(root, 'scripts/guest-image.sh'), [], { cwd: root });
  if (image !== 0) process.exit(image);
  for (const candidate of packages) {
    const { name, dir } = candidate;
    const parts = selected(candidate);
    if (parts === null) continue;
    ran.push(candidate);
    console.log(`\n=== ${name}`);
    rmSync(join(dir, '.bench-results'), { recursive: true, force: true });
    mkdirSync(join(dir, '.bench-results'));
    const status = await run(
      join(root, 'node_modules/.bin/pnpm'),
      ['--silent', '--dir', dir, 'run', 'bench', ...parts],
      { cwd: root },
    );
    if (status !== 0) failures.push(`${name}: bench ended with status ${status}`);
    else if (readReports(dir).length === 0) failures.push(`${name}: bench wrote no .bench-results/*.json`);
  }
}

const isWhole = values.render || positionals.length === 0;
const reports = (isWhole ? packages : ran).flatMap(({ dir, name }) =>
  readReports(dir).map((text) => parseReport(name, text)),
);
for (const report of reports) console.log(`\n${renderReport(report)}`);
if (reports.length > 0) {
  const page = join(root, 'docs/benchmarks.md');
  writeFileSync(page, isWhole ? renderPage(reports) : updatePage(readFileSync(page, 'utf8'), reports));
  console.log('\nWrote docs/benchmarks.md');
}
for (const failure of [...failures, ...reports.flatMap(missedTargets)]) {
  console.error(`FAILED  ${failure}`);
  process.exitCode = 1;
}

/** @param {string} dir */
function readReports(dir) {
  const results = join(dir, '.bench-results');
  try {
    return readdirSync(results)
      .filter((file) => file.endsWith('.json'))
      .sort()
      .map((file) => readFileSync(join(results, file), 'utf8'));
  } catch {
    return [];
  }
}
