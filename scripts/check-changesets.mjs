/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * Fails when a changeset does not parse, names an unknown package, or a changed package has none. Compared with
 * `main`, or `origin/main` where there is no such branch; a checkout without either (a shallow one) cannot be
 * compared, which is an error under CI=true and a warning elsewhere.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const exists = (/** @type {string} */ ref) =>
  spawnSync('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], { cwd: root, stdio: 'ignore' })
    .status === 0;

const base = ['main', 'origin/main'].find(exists);
if (base === undefined) {
  const ci = process.env.CI === 'true' || process.env.CI === '1';
  console.error(
    'changesets: no branch main or origin/main to compare with (git missing, or a shallow clone: git fetch origin main)',
  );
  process.exitCode = ci ? 1 : 0;
} else {
  const status = spawnSync(join(root, 'node_modules/.bin/changeset'), ['status', `--since=${base}`], {
    cwd: root,
    stdio: 'inherit',
  });
  process.exitCode = status.status ?? 1;
}
