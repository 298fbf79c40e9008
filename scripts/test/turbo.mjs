import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.mjs';

/**
 * @typedef {object} TurboRun
 * @property {number} exitCode of turbo itself
 * @property {Map<string, number>} exitCodes by package name; a package whose task never started is absent
 * @property {number} cached how many tasks turbo restored instead of running
 */

/**
 * Runs one turbo task in every package that has it, to the end even when some fail, and tells each one's outcome.
 * @param {string} root
 * @param {string} task
 * @param {{ concurrency: number }} options
 * @returns {Promise<TurboRun>}
 */
export async function runTurbo(root, task, options) {
  const runsDir = join(root, '.turbo/runs');
  const before = new Set(listJson(runsDir));
  const exitCode = await run(
    join(root, 'node_modules/.bin/turbo'),
    [
      'run',
      task,
      '--summarize',
      '--continue=dependencies-successful',
      '--output-logs=new-only',
      '--log-order=stream',
      `--concurrency=${options.concurrency}`,
    ],
    { cwd: root },
  );
  /** @type {Map<string, number>} */
  const exitCodes = new Map();
  let cached = 0;
  for (const file of listJson(runsDir).filter((name) => !before.has(name))) {
    const summary = JSON.parse(readFileSync(join(runsDir, file), 'utf8'));
    for (const entry of summary.tasks ?? []) {
      if (entry.task !== task) continue;
      const code = entry.execution?.exitCode;
      if (typeof code === 'number') exitCodes.set(entry.package, code);
      if (entry.cache?.status === 'HIT') cached += 1;
    }
    rmSync(join(runsDir, file));
  }
  return { exitCode, exitCodes, cached };
}

/** @param {string} dir */
function listJson(dir) {
  try {
    return readdirSync(dir).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}
