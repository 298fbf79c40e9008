import { describe, expect, test } from 'vitest';
import { renderStages, totals } from '../test/report.mjs';
import { emptyResult, evaluateRun, sumResults } from '../test/results.mjs';

/** @param {object} report @param {number | null} [exitCode] */
const evaluate = (report, exitCode = 0) =>
  evaluateRun({ package: '@mvm/x', tier: 'unit', reportText: JSON.stringify(report), exitCode });
/** @param {string} status @param {string} fullName */
const assertion = (status, fullName) => ({
  status,
  fullName,
  failureMessages: status === 'failed' ? ['boom\n  at x'] : [],
});

describe('one run', () => {
  test('counts passed and failed tests and names the skipped ones', () => {
    const result = evaluate(
      {
        success: false,
        testResults: [
          {
            name: 'a',
            status: 'failed',
            assertionResults: [
              assertion('passed', 'a'),
              assertion('failed', 'b'),
              assertion('skipped', 'c'),
              assertion('todo', 'd'),
            ],
          },
        ],
      },
      1,
    );
    expect(result).toEqual({
      passed: 1,
      failed: 1,
      failures: ['@mvm/x unit: b: boom'],
      skipped: ['@mvm/x unit: c', '@mvm/x unit: d'],
    });
  });

  test.each([
    ['no report', null, 1],
    ['no report although the task succeeded', null, 0],
    ['a task that never started', null, null],
    ['a truncated report', '{"testResults": [', 1],
    ['a report of another shape', '{}', 0],
    ['a report without a test', '{"success": true, "testResults": []}', 0],
  ])('%s is one failure', (_, reportText, exitCode) => {
    const result = evaluateRun({ package: '@mvm/x', tier: 'vm', reportText, exitCode });
    expect(result).toMatchObject({ passed: 0, failed: 1, failures: [expect.stringContaining('@mvm/x vm')] });
  });

  test('a file that failed to load is one failure', () => {
    const result = evaluate(
      {
        success: false,
        testResults: [{ name: 'a.test.ts', status: 'failed', message: 'SyntaxError', assertionResults: [] }],
      },
      1,
    );
    expect(result).toMatchObject({ failed: 1, failures: ['@mvm/x unit: a.test.ts: SyntaxError'] });
  });

  test('a failure outside the tests (unhandled rejection) is not lost', () => {
    const report = {
      success: true,
      testResults: [{ name: 'a', status: 'passed', assertionResults: [assertion('passed', 'a')] }],
    };
    expect(evaluate(report, 1)).toMatchObject({ passed: 1, failed: 1 });
    expect(evaluate({ ...report, success: false }, 0)).toMatchObject({ passed: 1, failed: 1 });
    expect(evaluate(report, 0)).toMatchObject({ passed: 1, failed: 0 });
  });
});

describe('the last line', () => {
  const ok = { ...emptyResult(), passed: 3 };
  /** @type {import('../test/report.mjs').StageReport[]} */
  const stages = [
    { name: 'lint', status: 'FAILED', seconds: 1, tests: null, note: '' },
    { name: 'unit', status: 'FAILED', seconds: 1, tests: sumResults([ok, { ...ok, failed: 2 }]), note: '' },
    { name: 'vm', status: 'NOT RUN', seconds: 0, tests: null, note: 'needs root' },
  ];
  test('sums tests, and counts a failed check once', () =>
    expect(totals(stages, { ci: false })).toEqual({ passed: 6, failed: 3 }));
  test('counts a tier that could not run under CI', () =>
    expect(totals(stages, { ci: true })).toEqual({ passed: 6, failed: 4 }));
  test('the table names each stage with its status', () => {
    const lines = renderStages(stages).split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[3]).toMatch(/^vm +NOT RUN .*needs root$/);
  });
});
