/**
 * @typedef {object} StageReport
 * @property {string} name
 * @property {'ok' | 'FAILED' | 'NOT RUN'} status
 * @property {number} seconds
 * @property {import('./results.mjs').TierResult | null} tests null for a check that is not a test tier
 * @property {string} note shown at the end of the line: cached packages, why it did not run
 */

/**
 * The table of stages as text, one line each, aligned.
 * @param {StageReport[]} stages
 * @returns {string}
 */
export function renderStages(stages) {
  const rows = [['stage', 'status', 'passed', 'failed', 'skipped', 'seconds', '']];
  for (const stage of stages) {
    const { tests } = stage;
    rows.push([
      stage.name,
      stage.status,
      tests === null ? '' : String(tests.passed),
      tests === null ? '' : String(tests.failed),
      tests === null ? '' : String(tests.skipped.length),
      stage.seconds.toFixed(1),
      stage.note,
    ]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const numeric = new Set([2, 3, 4, 5]);
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          numeric.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/**
 * The two numbers of the last line: tests that passed, and tests, checks and tiers that did not.
 * @param {StageReport[]} stages
 * @param {{ ci: boolean }} options with `ci`, a tier that could not run is a failure
 * @returns {{ passed: number, failed: number }}
 */
export function totals(stages, options) {
  let passed = 0;
  let failed = 0;
  for (const stage of stages) {
    passed += stage.tests?.passed ?? 0;
    const failedTests = stage.tests?.failed ?? 0;
    failed += failedTests;
    if (stage.status === 'FAILED' && failedTests === 0) failed += 1;
    if (stage.status === 'NOT RUN' && options.ci) failed += 1;
  }
  return { passed, failed };
}
