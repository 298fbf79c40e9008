/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `npm test`: every check and every test tier, to the end even when one fails; then a table with times, the names of what
 * failed and of what was skipped, and one last line, `N passed, N failed`. The exit status is 0 only when nothing failed.
 * `--only <stage>` (repeatable) runs the named stages. With CI=true a tier that cannot run is a failure.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { addUp, renderStages } from './report.mjs';
import { run } from './run.mjs';
import { TIERS } from './tiers.mjs';
import { listPackages } from './workspace.mjs';

/** @typedef {import('./report.mjs').Stage} Stage */
/** @typedef {Omit<Stage, 'name' | 'seconds'>} Outcome */

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const ci = process.env.CI === 'true' || process.env.CI === '1';
const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } });

/** Runs commands one after the other, all of them. @param {string[]} commands @returns {() => Promise<Outcome>} */
const check =
  (...commands) =>
  async () => {
    let ok = true;
    for (const command of commands) {
      const [program = '', ...args] = command.split(' ');
      ok = (await run(program, args, { cwd: root })) === 0 && ok;
    }
    return { status: ok ? 'ok' : 'FAILED', tests: null };
  };

const turbo = 'turbo run --continue=dependencies-successful --output-logs=new-only --log-order=stream';
const missingForVms = () => TIERS.find(({ name }) => name === 'vm')?.missing() ?? null;

/** @type {Record<string, () => Promise<Outcome>>} */
const stages = {
  'format, lint': check('biome check --error-on-warnings --colors=off .', 'knip --no-progress'),
  boundaries: check('turbo boundaries'),
  build: check(`${turbo} build --concurrency=2`),
  types: check(`${turbo} types`),
  scripts: () =>
    runTests('scripts', [{ name: 'scripts', dir: root }], 'vitest run --project scripts --dir scripts'),
  // Before the first tier: no test spends its time limit on a download, and tests in namespaces have no network.
  'guest image': async () =>
    notRun(missingForVms()) ??
    check('scripts/guest-image.sh', 'scripts/firecracker.sh', 'node scripts/package/fetch-node.mjs')(),
  ...Object.fromEntries(
    TIERS.map(({ name, inOneRun, concurrency, missing }) => {
      const task = `test:${name}`;
      const packages = inOneRun
        ? [{ name: 'workspace', dir: root }]
        : listPackages(root).filter(({ scripts }) => task in scripts);
      const command = `${turbo} ${task} --concurrency=${concurrency}`;
      return [name, async () => notRun(missing()) ?? runTests(name, packages, command)];
    }),
  ),
  'package-check': check(`${turbo} package-check --concurrency=2`),
  changeset: async () => check(`changeset status --since=${mainBranch()}`)(),
};

let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => (stopped = true));

for (const name of values.only ?? []) if (!(name in stages)) throw new Error(`no stage ${name}`);
/** @type {Stage[]} */
const done = [];
for (const [name, stage] of Object.entries(stages)) {
  if (stopped) break;
  if (values.only?.includes(name) === false) continue;
  console.log(`\n=== ${name}`);
  const startedMs = performance.now();
  const outcome = await stage();
  if (outcome.status !== 'ok') console.log(`=== ${name}: ${outcome.status} ${outcome.note ?? ''}`);
  done.push({ name, seconds: (performance.now() - startedMs) / 1000, ...outcome });
}

const { passed, failures, skipped, slowest } = addUp(done, { ci });
console.log(`\n${renderStages(done)}\n`);
for (const { file, seconds } of slowest) console.log(`SLOWEST  ${seconds.toFixed(1).padStart(6)} s  ${file}`);
for (const failure of failures) console.log(`FAILED   ${failure}`);
for (const name of skipped) console.log(`SKIPPED  ${name}`);
if (stopped) console.log('STOPPED  before the end: what follows is not the whole');
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 && !stopped ? 0 : 1;

/** @param {string | null} missing @returns {Outcome | null} */
function notRun(missing) {
  return missing === null ? null : { status: 'NOT RUN', tests: null, note: missing };
}

/**
 * Runs one vitest project in each of these packages, and reads the sums that vitest's reporter leaves there.
 * @param {string} tier @param {{ name: string, dir: string }[]} packages @param {string} command @returns {Promise<Outcome>}
 */
async function runTests(tier, packages, command) {
  const sumPath = (/** @type {string} */ dir) => join(dir, '.test-results', `${tier}.json`);
  // An old sum must not be counted; turbo puts back the one of a task that it restores from its cache.
  for (const { dir } of packages) rmSync(sumPath(dir), { force: true });
  const [program = '', ...args] = command.split(' ');
  const exitCode = await run(program, args, { cwd: root });
  /** @type {import('./sum-reporter.ts').Sum} */
  const tests = { passed: 0, failures: [], skipped: [], slowest: [] };
  for (const { name, dir } of packages) {
    const label = (/** @type {string} */ line) => `${name} ${tier}: ${line}`;
    try {
      const sum = JSON.parse(readFileSync(sumPath(dir), 'utf8'));
      tests.passed += sum.passed;
      tests.failures.push(...sum.failures.map(label));
      tests.skipped.push(...sum.skipped.map(label));
      for (const { file, seconds } of sum.slowest) tests.slowest.push({ file: `${name} ${file}`, seconds });
    } catch {
      tests.failures.push(label('ended without a result; see the output above'));
    }
  }
  if (packages.length === 0) tests.failures.push(`no package has tests of the tier ${tier}`);
  if (exitCode !== 0 && tests.failures.length === 0)
    tests.failures.push(`${tier}: exit status ${exitCode}, although no test failed`);
  return { status: tests.failures.length === 0 ? 'ok' : 'FAILED', tests };
}

/** What changesets compare with; a checkout that has neither branch fails there with the reason. */
function mainBranch() {
  const exists = (/** @type {string} */ ref) =>
    spawnSync('git', ['rev-parse', '--verify', '--quiet', ref], { cwd: root }).status === 0;
  return exists('main') ? 'main' : 'origin/main';
}
