/**
 * `node dist/main.js [NAME…]`: runs the tests of the tier `kvm` whose names contain one of the names, see `runWithKvm`. The
 * sum goes to `.test-results/kvm.json`, as the other tiers' does. `--bench` runs the benchmarks and
 * leaves their reports in `.bench-results`. `--script FILE` runs a shell script there instead.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildGuestImage } from '@mvm/guest-image';
import { execa } from 'execa';
import { bundleTests, type TestBundle } from './bundle-tests.js';
import { guestFile } from './machine/build-machine.js';
import { runWithKvm } from './run-with-kvm.js';

const repo = join(import.meta.dirname, '../../..');
const cacheDir = join(repo, '.cache');

interface Sum {
  passed: number;
  readonly failures: string[];
  readonly skipped: string[];
}

const { values, positionals } = parseArgs({
  options: { script: { type: 'string' }, bench: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const began = performance.now();
const say = (what: string): void =>
  void process.stdout.write(`[${((performance.now() - began) / 1000).toFixed(1)} s] ${what}\n`);

const build = (variant: 'demo' | 'test') =>
  buildGuestImage({ outDir: join(cacheDir, 'guest-image'), variant, onProgress: say });
const images = { demo: await build('demo'), test: await build('test') };
const { stdout: firecracker } = await execa(join(repo, 'scripts/firecracker.sh'), { stderr: 'inherit' });

const exchange = mkdtempSync(join(tmpdir(), 'mvm-kvm-'));
process.once('exit', () => rmSync(exchange, { recursive: true, force: true }));
// The machine ends with this process, and the directory goes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
process.exitCode = values.script === undefined ? await runTests() : await runScript(values.script);

function runJob(job: (patience: number) => string): Promise<number> {
  const variables = (patience: number): string => {
    const given = {
      MVM_TEST_PATIENCE: String(patience),
      MVM_TEST_REPO: repo,
      MVM_TEST_IMAGES: JSON.stringify(images),
      MVM_FIRECRACKER: join(firecracker, 'firecracker'),
      MVM_JAILER: join(firecracker, 'jailer'),
    };
    return Object.entries(given)
      .map(([name, value]) => `export ${name}=${quoted(value)}\n`)
      .join('');
  };
  return runWithKvm({
    ...{ exchange, cacheDir, say, image: images.demo },
    job: (patience) => `${variables(patience)}${job(patience)}`,
  });
}

function runScript(path: string): Promise<number> {
  const script = readFileSync(path, 'utf8');
  return runJob(() => script);
}

async function runTests(): Promise<number> {
  const { runner, tests } = await bundleTests(repo, values.bench ? 'bench' : 'test', positionals);
  if (tests.length === 0)
    throw new Error(`no test file has one of these in its name: ${positionals.join(', ')}`);
  say(`bundled ${tests.map(({ name }) => name).join(', ')}`);
  const sum: Sum = { passed: 0, failures: [], skipped: [] };
  const program = ['sh', guestFile('run-tests'), process.execPath, runner].map(quoted).join(' ');
  const paths = tests.map(({ path }) => quoted(path)).join(' ');
  await runJob(
    () =>
      `export MVM_BENCH_RESULTS="$1/bench"\nmkdir -p "$1/results"\n${program} "$1/results" ${paths}\nexit 0\n`,
  ).catch((error: Error) => sum.failures.push(error.message));
  say('the tests ended');
  const reports = join(exchange, 'bench');
  if (existsSync(reports))
    cpSync(reports, join(import.meta.dirname, '../.bench-results'), { recursive: true });
  for (const test of tests) addResults(sum, test);
  const results = join(import.meta.dirname, '../.test-results');
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, 'kvm.json'), JSON.stringify(sum));
  for (const failure of sum.failures) process.stdout.write(`FAILED   ${failure}\n`);
  for (const name of sum.skipped) process.stdout.write(`SKIPPED  ${name}\n`);
  process.stdout.write(`${sum.passed} passed, ${sum.failures.length} failed\n`);
  return sum.failures.length === 0 ? 0 : 1;
}

function addResults(sum: Sum, { name, source }: TestBundle): void {
  try {
    const found = JSON.parse(readFileSync(join(exchange, 'results', `${name}.json`), 'utf8')) as Sum;
    sum.passed += found.passed;
    sum.failures.push(...found.failures.map((line) => `${source} > ${line}`));
    sum.skipped.push(...found.skipped.map((line) => `${source} > ${line}`));
  } catch {
    sum.failures.push(`${source}: ended without a result`);
  }
}

/** SAFETY: one word of a shell script, whatever it contains. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
