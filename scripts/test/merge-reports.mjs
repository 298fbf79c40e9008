/**
 * One report out of the reports of runs of one file each. A run without a readable report, or that failed although
 * its report says otherwise, is a failed file in the result.
 * @param {{ file: string, exitCode: number, reportText: string | null }[]} parts
 * @returns {{ success: boolean, testResults: object[] }}
 */
export function mergeReports(parts) {
  /** @type {any[]} */
  const testResults = [];
  for (const { file, exitCode, reportText } of parts) {
    const results = resultsOf(reportText);
    testResults.push(...results);
    const knownFailure = results.some(({ status }) => status === 'failed');
    if (results.length === 0 || (exitCode !== 0 && !knownFailure)) {
      const message = `ended with exit status ${exitCode}${results.length === 0 ? ' and no report' : ''}`;
      testResults.push({ name: file, status: 'failed', message, assertionResults: [] });
    }
  }
  return { success: testResults.every(({ status }) => status === 'passed'), testResults };
}

/**
 * @param {string | null} text
 * @returns {any[]}
 */
function resultsOf(text) {
  try {
    return JSON.parse(text ?? '').testResults ?? [];
  } catch {
    return [];
  }
}
