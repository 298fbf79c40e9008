import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const workflow = readFileSync(join(root, '.github/workflows/release.yml'), 'utf8');

/** Name and text of each job. */
const jobs = [
  ...workflow.slice(workflow.indexOf('\njobs:\n')).matchAll(/^ {2}([a-z]+):\n((?: {4}.*\n|\n)+)/gm),
].map(([, name, text]) => ({ name, text: text ?? '' }));
/** What a job runs out of the repository. */
const steps = (/** @type {string} */ text) =>
  [...text.matchAll(/scripts\/release\.sh ([a-z-]+)/g)].map(([, step]) => step);

test('finding 17: what installs and builds has no secret, and what has one installs and builds nothing', () => {
  expect(jobs.map(({ name }) => name)).toEqual(['build', 'version', 'publish', 'tag']);
  const trusted = jobs.filter(({ text }) =>
    /: write|secrets\.|github\.token|GH_TOKEN|environment:/.test(text),
  );
  expect(trusted.map(({ name }) => name)).toEqual(['version', 'publish', 'tag']);
  expect(jobs.map(({ name, text }) => [name, steps(text)])).toEqual([
    ['build', ['pending', 'version', 'pack']],
    ['version', ['pull-request']],
    ['publish', ['publish']],
    ['tag', ['tag']],
  ]);
  for (const { text } of trusted) expect(text).not.toMatch(/pnpm|npx|npm (ci|install)|setup\.sh/);
  // Of the script, too: the steps of trusted jobs name nothing that is installed.
  const script = readFileSync(join(root, 'scripts/release.sh'), 'utf8');
  for (const step of ['pull-request', 'publish', 'tag']) {
    const body = new RegExp(`^ {2}${step}\\)\\n([\\s\\S]*?)^ {4};;`, 'm').exec(script)?.[1] ?? '';
    expect(body).not.toBe('');
    expect(body).not.toMatch(/node_modules|pnpm\.sh|turbo|changeset /);
  }
  expect(workflow).not.toContain('NPM_TOKEN');
});

test('actions are pinned by commit, and the package manager by its hash', () => {
  for (const name of ['ci', 'nightly', 'release']) {
    const text = readFileSync(join(root, `.github/workflows/${name}.yml`), 'utf8');
    for (const [, action] of text.matchAll(/uses: (\S+)/g))
      expect(action).toMatch(/^[a-z-]+\/[a-z-]+@[0-9a-f]{40}$/);
  }
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(packageManager).toMatch(/^pnpm@10\.34\.9\+sha512\.[0-9a-f]{128}$/);
  expect(execFileSync(join(root, 'scripts/pnpm.sh'), ['--version'], { encoding: 'utf8', cwd: root })).toBe(
    '10.34.9\n',
  );
}, 120_000);
