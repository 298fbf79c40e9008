import { expect, test } from 'vitest';
import { mergeReports } from '../test/merge-reports.mjs';
import { evaluateRun } from '../test/results.mjs';

const passed = { name: 'a', status: 'passed', assertionResults: [{ status: 'passed', fullName: 'a' }] };
const failed = { name: 'b', status: 'failed', assertionResults: [{ status: 'failed', fullName: 'b' }] };
/** @param {object[]} testResults */
const text = (...testResults) => JSON.stringify({ testResults });

test.each([
  ['all passed', [{ file: 'a', exitCode: 0, reportText: text(passed) }], { passed: 1, failed: 0 }],
  [
    'one failed',
    [
      { file: 'a', exitCode: 0, reportText: text(passed) },
      { file: 'b', exitCode: 1, reportText: text(failed) },
    ],
    { passed: 1, failed: 1 },
  ],
  ['no report', [{ file: 'a', exitCode: 137, reportText: null }], { passed: 0, failed: 1 }],
  ['half a report', [{ file: 'a', exitCode: 1, reportText: '{"testRes' }], { passed: 0, failed: 1 }],
  [
    'a failure outside the tests',
    [{ file: 'a', exitCode: 1, reportText: text(passed) }],
    { passed: 1, failed: 1 },
  ],
])('%s', (_, parts, counts) => {
  const merged = mergeReports(parts);
  expect(merged.success).toBe(counts.failed === 0);
  const run = {
    package: 'p',
    tier: 'vm',
    reportText: JSON.stringify(merged),
    exitCode: merged.success ? 0 : 1,
  };
  expect(evaluateRun(run)).toMatchObject(counts);
});
