/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `node model.mjs [--runs <n>] [--jobs <n>] [--seed <n>] [filter…]`: random histories of hostd, for as long as one likes,
 * as root; see docs/model-tests.md. `--runs` is how many of each kind, `--jobs` how many processes walk them side by side,
 * each in namespaces of its own and from a seed of its own. Filters are parts of file names; without any, the histories
 * one at a time and those at the same time.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { run } from './run.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const { values, positionals } = parseArgs({
  // pnpm hands its own `--` on.
  args: process.argv.slice(2).filter((argument) => argument !== '--'),
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '1000' },
    jobs: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});

/** @param {'runs' | 'jobs' | 'seed'} name */
function number(name) {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= (name === 'seed' ? 0 : 1)) return value;
  console.error(`--${name} is a whole number, not ${values[name]}`);
  process.exit(2);
}
const [runs, jobs, seed] = [number('runs'), number('jobs'), number('seed')];
if (process.getuid?.() !== 0) {
  console.error('the model tests make namespaces, cgroups and interfaces: run them as root');
  process.exit(2);
}

const built = await run('turbo', ['run', 'build', '--output-logs=errors-only'], { cwd: root });
if (built !== 0) process.exit(built);
const files = positionals.length === 0 ? ['model-sequential', 'model-concurrent'] : positionals;
const vitest = ['run', '--project', 'privileged', '--reporter=default', ...files];
const statuses = await Promise.all(
  Array.from({ length: Math.min(jobs, runs) }, (_, job) =>
    run('vitest', vitest, {
      cwd: join(root, 'apps/hostd'),
      env: {
        MVM_MODEL_RUNS: String(Math.floor(runs / jobs) + (job < runs % jobs ? 1 : 0)),
        MVM_MODEL_SEED: String(seed + job),
      },
    }),
  ),
);
process.exitCode = Math.max(...statuses);
