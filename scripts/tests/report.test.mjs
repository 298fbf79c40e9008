import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { addUp, renderStages } from '../test/report.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the last line of npm test', () => {
  const ok = { passed: 3, failures: [], skipped: ['a'], slowest: [{ file: 'b', seconds: 1 }] };
  /** @type {import('../test/report.mjs').Stage[]} */
  const stages = [
    { name: 'lint', status: 'FAILED', seconds: 1, tests: null },
    {
      name: 'unit',
      status: 'FAILED',
      seconds: 1,
      tests: { passed: 3, failures: ['x', 'y'], skipped: [], slowest: [{ file: 'a', seconds: 2 }] },
    },
    { name: 'property', status: 'ok', seconds: 1, tests: ok },
    { name: 'vm', status: 'NOT RUN', seconds: 0, tests: null, note: 'needs root' },
  ];

  test('sums tests, and counts a failed check once', () => {
    const sum = addUp(stages, { ci: false });
    expect(sum).toMatchObject({ passed: 6, failures: ['lint (see its output above)', 'x', 'y'] });
    expect(sum.skipped).toEqual(['a', 'vm did not run: needs root']);
    expect(sum.slowest.map(({ file }) => file)).toEqual(['a', 'b']);
  });

  test('counts a tier that could not run under CI', () =>
    expect(addUp(stages, { ci: true }).failures).toContain('vm did not run: needs root'));

  test('the table names each stage with its status', () => {
    const lines = renderStages(stages).split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[4]).toMatch(/^vm +NOT RUN/);
  });
});

describe("vitest's reporter", () => {
  mkdirSync(join(root, '.test-results'), { recursive: true });
  const dir = mkdtempSync(join(root, '.test-results/reporter-'));
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  afterAll(() => rmSync(dir, { recursive: true }));

  /** Runs one test file as a package does. @param {string} name @param {string} text */
  async function runFile(name, text) {
    rmSync(join(dir, 'src'), { recursive: true, force: true });
    mkdirSync(join(dir, 'src'));
    if (text !== '')
      writeFileSync(
        join(dir, 'src', `${name}.test.ts`),
        `import { afterAll, test, expect } from 'vitest';\n${text}`,
      );
    rmSync(join(dir, '.test-results'), { recursive: true, force: true });
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const { stdout, status } = await new Promise((resolve) =>
      execFile(process.execPath, [vitest, 'run', '--project', 'unit'], { cwd: dir }, (error, out) =>
        resolve({ stdout: out, status: error === null ? 0 : error.code }),
      ),
    );
    const lines = stdout.trim().split('\n');
    const read = () => JSON.parse(readFileSync(join(dir, '.test-results/unit.json'), 'utf8'));
    return { lines, last: lines.at(-1), status, read };
  }

  test('names skipped tests and counts the others', async () => {
    const { lines, last, status, read } = await runFile(
      'mixed',
      "test('a', () => {}); test('b', () => expect(1).toBe(2)); test.skip('c', () => {}); test.todo('d');",
    );
    expect(last).toBe('1 passed, 1 failed');
    expect(status).toBe(1);
    expect(lines).toContain('SKIPPED  src/mixed.test.ts > c');
    expect(read()).toEqual({
      passed: 1,
      failures: [expect.stringMatching(/^src\/mixed\.test\.ts > b: expected 1 to be 2/)],
      skipped: ['src/mixed.test.ts > c', 'src/mixed.test.ts > d'],
      slowest: [{ file: 'src/mixed.test.ts', seconds: expect.any(Number) }],
    });
  });

  test.each([
    ['a file that does not load', "throw new Error('broken');", '0 passed, 1 failed'],
    ['a file without a test', 'export {};', '0 passed, 1 failed'],
    [
      'a hook that fails after its tests',
      "test('a', () => {}); afterAll(() => { throw new Error('broken'); });",
      '1 passed, 1 failed',
    ],
    [
      'an error outside of all tests',
      "test('a', async () => { void Promise.reject(new Error('lost')); await new Promise((done) => setTimeout(done, 50)); });",
      '1 passed, 1 failed',
    ],
  ])('%s is one failure', async (_, text, line) => {
    const { last, status } = await runFile('broken', text);
    expect(last).toBe(line);
    expect(status).toBe(1);
  });

  test('a run without test files leaves no sum, which npm test counts as a failure', async () => {
    const { status, read } = await runFile('none', '');
    expect(status).toBe(1);
    expect(read).toThrow();
  });
});
