import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The Node that the Debian package carries, because Debian 12 has Node 18: `node` and its licence, from the npm package in
 * node-runtime.json. The tarball is fetched once, into `.cache/node`, and compared each time with the hash that is written
 * there: what the registry serves is not trusted. Throws when it differs.
 * @param {string} root of the repository
 * @returns {{ node: string, licence: string, version: string }} paths of the two files
 */
export function nodeRuntime(root) {
  const pinned = JSON.parse(readFileSync(join(root, 'scripts/package/node-runtime.json'), 'utf8'));
  const cache = join(root, '.cache/node');
  const tarball = join(cache, `${pinned.package}-${pinned.version}.tgz`);
  mkdirSync(cache, { recursive: true });
  if (!existsSync(tarball)) {
    const staging = mkdtempSync(join(cache, '.fetch-'));
    try {
      const name = `${pinned.package}@${pinned.version}`;
      execFileSync('npm', ['pack', '--silent', name], {
        cwd: staging,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      renameSync(join(staging, `${pinned.package}-${pinned.version}.tgz`), tarball);
    } finally {
      rmSync(staging, { recursive: true, force: true });
    }
  }
  const integrity = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  if (integrity !== pinned.integrity) {
    rmSync(tarball);
    throw new Error(`${tarball} has ${integrity}, but ${pinned.integrity} is expected. It has been removed.`);
  }
  const files = join(cache, `${pinned.package}-${pinned.version}`);
  if (!existsSync(join(files, 'bin/node'))) {
    const staging = mkdtempSync(join(cache, '.unpack-'));
    execFileSync('tar', [
      '-xzf',
      tarball,
      '-C',
      staging,
      '--strip-components=1',
      'package/bin/node',
      'package/LICENSE',
    ]);
    rmSync(files, { recursive: true, force: true });
    renameSync(staging, files);
  }
  return { node: join(files, 'bin/node'), licence: join(files, 'LICENSE'), version: pinned.version };
}
