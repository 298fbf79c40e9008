import { mkdirSync, writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from 'vitest/node';

/** What one vitest project did in one package. */
export interface Sum {
  passed: number;
  /** One line per failed test, or per file that failed without one. */
  failures: string[];
  /** Names of the tests that did not run. */
  skipped: string[];
  /** The files that took longest, at most ten, with the seconds that their tests and hooks took. */
  slowest: { file: string; seconds: number }[];
}

const SLOWEST = 10;

/**
 * Ends a run with the names of the skipped tests and the line `N passed, N failed`, and writes one sum per project to
 * `.test-results/<project>.json` in the working directory, for `npm test` to add up. A file that does not load, an error
 * outside of all tests, an interrupted run and a run without tests are failures.
 */
export class SumReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const sums = new Map<string, Sum>();
    for (const module of modules) {
      const sum = sums.get(module.project.name) ?? { passed: 0, failures: [], skipped: [], slowest: [] };
      sums.set(module.project.name, sum);
      addModule(sum, module);
      sum.slowest.push({ file: module.relativeModuleId, seconds: module.diagnostic().duration / 1000 });
    }
    const last = [...sums.values()].at(-1);
    for (const error of unhandled) last?.failures.push(`outside of all tests: ${firstLine(error.message)}`);
    if (reason === 'interrupted') last?.failures.push('interrupted');

    mkdirSync('.test-results', { recursive: true });
    for (const [project, sum] of sums) {
      if (sum.passed + sum.failures.length + sum.skipped.length === 0) sum.failures.push('no test ran');
      sum.slowest = sum.slowest.sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
      writeFileSync(`.test-results/${project}.json`, JSON.stringify(sum));
      for (const name of sum.skipped) process.stdout.write(`SKIPPED  ${name}\n`);
    }
    const count = (of: (sum: Sum) => number) => [...sums.values()].reduce((total, sum) => total + of(sum), 0);
    process.stdout.write(
      `${count((sum) => sum.passed)} passed, ${count((sum) => sum.failures.length)} failed\n`,
    );
  }
}

function addModule(sum: Sum, module: TestModule): void {
  const before = sum.failures.length;
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    const name = `${module.relativeModuleId} > ${test.fullName}`;
    if (state === 'passed') sum.passed += 1;
    else if (state === 'failed') sum.failures.push(`${name}: ${firstLine(errors?.[0]?.message)}`);
    else sum.skipped.push(name);
  }
  // A failed import, or a failed hook of a file whose tests all passed.
  if (module.state() !== 'failed' || sum.failures.length > before) return;
  const errors = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
  sum.failures.push(`${module.relativeModuleId}: ${firstLine(errors[0]?.message)}`);
}

function firstLine(text = 'no message'): string {
  return text.split('\n', 1)[0] ?? text;
}
