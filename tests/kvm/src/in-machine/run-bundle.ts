/**
 * `node run-bundle.js BUNDLE RESULTS`: runs one bundled test file, prints each test as it ends, and writes the sum to
 * RESULTS, in the form of scripts/test/sum-reporter.ts. The exit status is 0 only when something passed and nothing failed.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type Suite, startTests, type Task, type Test, type VitestRunner } from '@vitest/runner';

const [bundle = '', results = ''] = process.argv.slice(2);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

const runner: VitestRunner = {
  config: {
    root: '/',
    name: undefined,
    setupFiles: [],
    passWithNoTests: false,
    testNamePattern: undefined,
    allowOnly: false,
    sequence: { seed: 1, hooks: 'stack', setupFiles: 'list' },
    chaiConfig: undefined,
    maxConcurrency: 1,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    retry: 0,
    includeTaskLocation: false,
    tags: [],
    tagsFilter: undefined,
    strictTags: false,
  },
  importFile: (path) => import(pathToFileURL(path).href),
  onBeforeRunTask: (test) => print(`  … ${nameOf(test)}`),
  onAfterRunTask: (test) => {
    const seconds = ((test.result?.duration ?? 0) / 1000).toFixed(1);
    print(`  ${test.result?.state === 'pass' ? '✓' : '✗'} ${nameOf(test)} (${seconds} s)`);
    printErrors(test);
  },
  onAfterRunSuite: (suite) => printErrors(suite),
};

const files = await startTests([bundle], runner);
const sum = { passed: 0, failures: [] as string[], skipped: [] as string[] };
for (const file of files) addTask(file);
if (sum.passed + sum.failures.length + sum.skipped.length === 0) sum.failures.push('no test ran');
writeFileSync(results, JSON.stringify(sum));
process.exit(sum.failures.length === 0 ? 0 : 1);

function addTask(task: Task): void {
  const before = sum.failures.length;
  if (task.type === 'suite') {
    for (const child of task.tasks) addTask(child);
    if (task.result?.state === 'fail' && sum.failures.length === before)
      sum.failures.push(`${nameOf(task)}: ${firstLine(task)}`);
  } else if (task.result?.state === 'pass') sum.passed += 1;
  else if (task.result?.state === 'fail') sum.failures.push(`${nameOf(task)}: ${firstLine(task)}`);
  else sum.skipped.push(nameOf(task));
}

function nameOf(task: Suite | Test): string {
  const above = task.suite === undefined || 'filepath' in task.suite ? '' : `${nameOf(task.suite)} > `;
  return `${above}${'filepath' in task ? 'the file' : task.name}`;
}

function firstLine(task: Task): string {
  return (task.result?.errors?.[0]?.message ?? 'no message').split('\n', 1)[0] ?? '';
}

function printErrors({ result }: Task): void {
  for (const error of result?.errors ?? []) {
    print(`    ${error.stack ?? error.message}`);
    if (error.diff !== undefined) print(error.diff);
  }
}
