/**
 * @typedef {object} Stage
 * @property {string} name
 * @property {'ok' | 'FAILED' | 'NOT RUN'} status
 * @property {number} seconds
 * @property {import('./sum-reporter.ts').Sum | null} tests null for a check that is not a test tier
 * @property {string} [note] why it did not run
 */

/**
 * The table of stages, one aligned line each.
 * @param {Stage[]} stages
 * @returns {string}
 */
export function renderStages(stages) {
  const line = (/** @type {(string | number)[]} */ [name = '', status = '', ...cells]) =>
    `${String(name).padEnd(14)}${String(status).padEnd(8)}${cells.map((cell) => String(cell).padStart(9)).join('')}`;
  const rows = stages.map(({ name, status, seconds, tests }) => {
    const counts =
      tests === null ? ['', '', ''] : [tests.passed, tests.failures.length, tests.skipped.length];
    return line([name, status, ...counts, seconds.toFixed(1)]);
  });
  return [line(['stage', 'status', 'passed', 'failed', 'skipped', 'seconds']), ...rows].join('\n');
}

/**
 * All tests together; a failed check, and with `ci` a stage that could not run, is one failure more.
 * @param {Stage[]} stages
 * @param {{ ci: boolean }} options
 * @returns {import('./sum-reporter.ts').Sum}
 */
export function addUp(stages, { ci }) {
  /** @type {import('./sum-reporter.ts').Sum} */
  const all = { passed: 0, failures: [], skipped: [], slowest: [] };
  for (const { name, status, tests, note } of stages) {
    all.passed += tests?.passed ?? 0;
    all.failures.push(...(tests?.failures ?? []));
    all.skipped.push(...(tests?.skipped ?? []));
    all.slowest.push(...(tests?.slowest ?? []));
    if (status === 'FAILED' && tests === null) all.failures.push(`${name} (see its output above)`);
    if (status === 'NOT RUN') (ci ? all.failures : all.skipped).push(`${name} did not run: ${note}`);
  }
  all.slowest.sort((a, b) => b.seconds - a.seconds).splice(10);
  return all;
}
