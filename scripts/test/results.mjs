/**
 * Reading of vitest's JSON reports: pure, so that the sum on the last line of `npm test` can be trusted.
 */

/**
 * @typedef {object} TierResult
 * @property {number} passed
 * @property {number} failed
 * @property {string[]} failures one line per failed test, file or task
 * @property {string[]} skipped full names of the tests that did not run
 */

/** @returns {TierResult} */
export const emptyResult = () => ({ passed: 0, failed: 0, failures: [], skipped: [] });

/**
 * @param {TierResult[]} results
 * @returns {TierResult}
 */
export function sumResults(results) {
  const sum = emptyResult();
  for (const result of results) {
    sum.passed += result.passed;
    sum.failed += result.failed;
    sum.failures.push(...result.failures);
    sum.skipped.push(...result.skipped);
  }
  return sum;
}

/**
 * What one package's run of one tier came to. Never better than the report and the exit status together:
 * no report, a report that cannot be read, a file that failed to load, and a non-zero exit without a failed
 * test each count as one failure; a report without any test does too.
 * @param {{ package: string, tier: string, reportText: string | null, exitCode: number | null }} run
 * @returns {TierResult}
 */
export function evaluateRun(run) {
  const label = `${run.package} ${run.tier}`;
  const crashed = (/** @type {string} */ why) => ({
    ...emptyResult(),
    failed: 1,
    failures: [`${label}: ${why}`],
  });
  if (run.reportText === null) {
    return crashed(
      run.exitCode === null
        ? 'did not run (a task before it failed)'
        : `no report (exit status ${run.exitCode})`,
    );
  }
  /** @type {any} */
  let report;
  try {
    report = JSON.parse(run.reportText);
  } catch {
    return crashed('the report is not JSON');
  }
  if (!Array.isArray(report?.testResults)) return crashed('the report has no testResults');

  const result = emptyResult();
  for (const file of report.testResults) {
    const tests = Array.isArray(file.assertionResults) ? file.assertionResults : [];
    let failedHere = 0;
    for (const test of tests) {
      const name = `${label}: ${test.fullName ?? test.title ?? '(unnamed)'}`;
      if (test.status === 'passed') {
        result.passed += 1;
      } else if (test.status === 'failed') {
        failedHere += 1;
        result.failures.push(`${name}: ${firstLine(test.failureMessages?.[0])}`);
      } else {
        result.skipped.push(name);
      }
    }
    if (file.status === 'failed' && failedHere === 0) {
      failedHere = 1;
      result.failures.push(`${label}: ${file.name}: ${firstLine(file.message)}`);
    }
    result.failed += failedHere;
  }
  if (result.passed + result.failed + result.skipped.length === 0) return crashed('no test ran');
  if (result.failed === 0 && (run.exitCode !== 0 || report.success === false)) {
    result.failed = 1;
    result.failures.push(`${label}: failed outside its tests (exit status ${run.exitCode})`);
  }
  return result;
}

/** @param {unknown} text */
function firstLine(text) {
  return typeof text === 'string' && text !== '' ? (text.split('\n', 1)[0] ?? '') : 'no message';
}
