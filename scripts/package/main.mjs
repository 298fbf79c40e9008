/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
/**
 * `npm run package`: makes dist/mvm_<version>_amd64.deb out of the built checkout. The same commit gives the same bytes.
 * Options: --out <dir>; --uncompressed, which is quicker
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildTree } from './tree.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(root, 'dist') },
    uncompressed: { type: 'boolean', default: false },
  },
});
const out = resolve(values.out);
// Any directory that others cannot change: maintainer scripts in it are run as root.
const tree = mkdtempSync(join(tmpdir(), 'mvm-package-'));
try {
  const { version, sizes } = await buildTree(root, tree);
  mkdirSync(out, { recursive: true });
  const file = join(out, `mvm_${version}_amd64.deb`);
  // One thread: the result of several depends on their number.
  const compression = values.uncompressed ? ['-Znone'] : ['-Zzstd', '-z12', '--threads-max=1'];
  execFileSync('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: String(sourceDate()) },
  });
  const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  console.log(
    `${file}: ${mib(statSync(file).size)}, installed ${mib(sizes.total)}, of it Node ${mib(sizes.node)}`,
  );
} finally {
  rmSync(tree, { recursive: true, force: true });
}

/** Seconds: SOURCE_DATE_EPOCH, else when the commit was made. */
function sourceDate() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return Number(given);
  return Number(execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' }));
}
