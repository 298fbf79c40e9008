/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * Fails when a pending changeset is faulty, and, on a branch, when a package that differs from `main` (or
 * `origin/main`, where there is no such branch) has none. A checkout without either branch (a shallow one) cannot be
 * compared, which is an error under CI=true and a warning elsewhere.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { changesetFaults } from './changesets/validate.mjs';
import { listPackages } from './test/workspace.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dir = join(root, '.changeset');
const ignored = new Set(JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')).ignore);
const packages = new Set(
  listPackages(root)
    .map(({ name }) => name)
    .filter((name) => !ignored.has(name)),
);
const pending = readdirSync(dir).filter((file) => file.endsWith('.md') && file !== 'README.md');
for (const file of pending) {
  for (const fault of changesetFaults(readFileSync(join(dir, file), 'utf8'), packages)) {
    console.error(`.changeset/${file}: ${fault}`);
    process.exitCode = 1;
  }
}
console.log(`${pending.length} pending changesets`);

const commitOf = (/** @type {string} */ ref) => {
  const { status, stdout } = spawnSync('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], {
    cwd: root,
  });
  return status === 0 ? stdout.toString().trim() : null;
};
const base = ['main', 'origin/main'].find((ref) => commitOf(ref) !== null);
if (base === undefined) {
  console.error(
    'no branch main or origin/main to compare with (no git, or a shallow clone: git fetch origin main)',
  );
  if (process.env.CI === 'true' || process.env.CI === '1') process.exitCode = 1;
} else if (commitOf(base) !== commitOf('HEAD')) {
  const changeset = join(root, 'node_modules/.bin/changeset');
  const { status } = spawnSync(changeset, ['status', `--since=${base}`], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}
