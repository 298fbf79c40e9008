/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `npm test`: every check and every test tier, to the end even when one fails; then a table with times, the
 * names of what failed and of what was skipped, and one last line, `N passed, N failed`. The exit status is 0
 * only when nothing failed. `--only <stage>` (repeatable) runs the named stages.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { renderStages, totals } from './report.mjs';
import { evaluateRun, sumResults } from './results.mjs';
import { run } from './run.mjs';
import { TIERS } from './tiers.mjs';
import { runTurbo } from './turbo.mjs';
import { listPackages } from './workspace.mjs';

/** @typedef {import('./report.mjs').StageReport} StageReport */
/** @typedef {import('./results.mjs').TierResult} TierResult */
/** @typedef {{ tests: TierResult | null, status?: StageReport['status'], ok: boolean, note?: string }} StageOutcome */

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const bin = (/** @type {string} */ name) => join(root, 'node_modules/.bin', name);
const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } });
const ci = process.env.CI === 'true' || process.env.CI === '1';

/** Runs commands one after the other, all of them, and is ok when each one is. */
const check =
  (/** @type {[string, string[]][]} */ ...commands) =>
  async () => {
    let ok = true;
    for (const [command, args] of commands) ok = (await run(command, args, { cwd: root })) === 0 && ok;
    return { tests: null, ok };
  };

/** @param {string} task */
const turboCheck = (task) => async () => {
  const outcome = await runTurbo(root, task, { concurrency: 2 });
  return { tests: null, ok: outcome.exitCode === 0, note: cachedNote(outcome.cached) };
};

/** @type {[string, () => Promise<StageOutcome>][]} */
const stages = [
  ['format, lint', check([bin('biome'), ['check', '--error-on-warnings', '--colors=off', '.']])],
  ['boundaries', check([bin('turbo'), ['boundaries']], [process.execPath, ['scripts/check-boundaries.mjs']])],
  ['build', turboCheck('build')],
  [
    'types',
    async () => {
      const packages = await turboCheck('types')();
      const scripts = await check([bin('tsc'), ['-p', 'scripts/tsconfig.json']])();
      return { ...packages, ok: packages.ok && scripts.ok };
    },
  ],
  ['scripts', runScriptTests],
  // Before the first tier, so that no test spends its time limit on a download.
  ['guest image', buildGuestImage],
  ...TIERS.map(
    (tier) => /** @type {[string, () => Promise<StageOutcome>]} */ ([tier.name, () => runTier(tier)]),
  ),
  ['package-check', turboCheck('package-check')],
  ['changeset', check([process.execPath, ['scripts/check-changesets.mjs']])],
];

let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    stopped = true;
  });
}

/** @type {StageReport[]} */
const reports = [];
for (const [name, stage] of stages) {
  if (stopped) break;
  if (values.only !== undefined && !values.only.includes(name)) continue;
  console.log(`\n=== ${name}`);
  const startedMs = performance.now();
  const outcome = await stage();
  const status = outcome.status ?? (outcome.ok ? 'ok' : 'FAILED');
  if (status !== 'ok') console.log(`=== ${name}: ${status}${outcome.note ? `: ${outcome.note}` : ''}`);
  reports.push({
    name,
    status,
    seconds: (performance.now() - startedMs) / 1000,
    tests: outcome.tests,
    note: outcome.note ?? '',
  });
}

console.log(`\n${renderStages(reports)}\n`);
const all = sumResults(reports.flatMap((report) => report.tests ?? []));
for (const failure of all.failures) console.log(`FAILED   ${failure}`);
for (const name of all.skipped) console.log(`SKIPPED  ${name}`);
for (const report of reports) {
  if (report.tests === null && report.status === 'FAILED')
    console.log(`FAILED   ${report.name} (see its output above)`);
  if (report.status === 'NOT RUN') console.log(`NOT RUN  ${report.name}: ${report.note}`);
}
const { passed, failed } = totals(reports, { ci });
if (stopped) console.log('STOPPED  before the end: what follows is not the whole');
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && !stopped ? 0 : 1;

/**
 * @param {import('./tiers.mjs').Tier} tier
 * @returns {Promise<StageOutcome>}
 */
async function runTier(tier) {
  const packages = listPackages(root).filter((candidate) => `test:${tier.name}` in candidate.scripts);
  if (packages.length === 0) return { tests: null, ok: false, note: 'no package has tests of this tier' };
  const missing = tier.missing();
  if (missing !== null) return { tests: null, ok: false, status: 'NOT RUN', note: missing };
  const reportPath = (/** @type {string} */ dir) => join(dir, '.test-results', `${tier.name}.json`);
  // An old report must not be counted; turbo puts back the one of a task that it restores from its cache.
  for (const { dir } of packages) rmSync(reportPath(dir), { force: true });
  const outcome = await runTurbo(root, `test:${tier.name}`, { concurrency: tier.concurrency });
  const tests = sumResults(
    packages.map(({ name, dir }) =>
      evaluateRun({
        package: name,
        tier: tier.name,
        reportText: readIfPresent(reportPath(dir)),
        exitCode: outcome.exitCodes.get(name) ?? null,
      }),
    ),
  );
  return { tests, ok: tests.failed === 0, note: cachedNote(outcome.cached) };
}

/** @returns {Promise<StageOutcome>} */
async function buildGuestImage() {
  const missing = TIERS.find(({ name }) => name === 'vm')?.missing() ?? null;
  if (missing !== null) return { tests: null, ok: false, status: 'NOT RUN', note: missing };
  return check(['scripts/guest-image.sh', []])();
}

/** @returns {Promise<StageOutcome>} */
async function runScriptTests() {
  const report = join(root, 'scripts/.test-results/scripts.json');
  rmSync(report, { force: true });
  mkdirSync(dirname(report), { recursive: true });
  const exitCode = await run(
    bin('vitest'),
    ['run', '--root', 'scripts', '--config', 'vitest.config.mjs', `--outputFile.json=${report}`],
    { cwd: root },
  );
  const tests = evaluateRun({
    package: 'scripts',
    tier: 'scripts',
    reportText: readIfPresent(report),
    exitCode,
  });
  return { tests, ok: tests.failed === 0 };
}

/** @param {string} path */
function readIfPresent(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** @param {number} count */
function cachedNote(count) {
  return count === 0 ? '' : `${count} cached`;
}
