import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundle } from '../bundle/bundle.mjs';

const root = join(import.meta.dirname, '../..');
const work = mkdtempSync(join(tmpdir(), 'mvm-bundle-'));
const [first, second] = [join(work, 'first'), join(work, 'second')];
const make = (/** @type {string} */ outDir) =>
  bundle({ entries: { mvm: join(root, 'apps/cli/src/main.ts') }, outDir, external: ['@mvm/selftest'] });
const mvm = (/** @type {string[]} */ ...args) =>
  spawnSync(process.execPath, [join(first, 'mvm.js'), ...args], { encoding: 'utf8', cwd: '/' });
/** Every file of a folder with its text. @param {string} dir */
const contentsOf = (dir) =>
  Object.fromEntries(
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(dir.length), readFileSync(path, 'latin1')]),
  );

beforeAll(async () => {
  await make(first);
  await make(second);
});
afterAll(() => rmSync(work, { recursive: true }));

describe('the bundled mvm', () => {
  test('loads every command, away from the checkout: it prints the same reference', () => {
    const { stdout, stderr, status } = mvm('__reference');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(readFileSync(join(root, 'docs/cli.md'), 'utf8'));
  });

  test('knows its version', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'apps/cli/package.json'), 'utf8'));
    expect(mvm('--version').stdout).toBe(`${version}\n`);
  });

  test('has the files that modules find by their own place, and no path of the build', () => {
    const files = contentsOf(first);
    expect(Object.keys(files)).toEqual(
      expect.arrayContaining([
        '/rootfs-builder-worker.js',
        '/assets/guest-boot.mvm-init',
        '/assets/guest-boot.mvm-vsock',
      ]),
    );
    for (const [path, text] of Object.entries(files)) {
      expect(text.includes(root), path).toBe(false);
      if (!path.endsWith('.js')) continue;
      for (const [, target = ''] of text.matchAll(/new URL\("([^"]+)", import\.meta\.url\)/g)) {
        expect(existsSync(join(first, target)), `${path}: ${target}`).toBe(true);
      }
    }
  });

  test('names sources and functions in stack traces', () => {
    const preload = join(work, 'fail.mjs');
    writeFileSync(preload, "process.stdout.write = () => { throw new Error('no output'); };\n");
    const { stderr } = spawnSync(
      process.execPath,
      ['--enable-source-maps', '--import', preload, join(first, 'mvm.js'), 'completion', 'bash'],
      { encoding: 'utf8', env: { ...process.env, MVM_DEBUG: '1' } },
    );
    expect(stderr).toMatch(/at .*apps\/cli\/src\/create-context\.ts:\d+/);
  });

  test('carries the licence of each package in it', () => {
    const text = readFileSync(join(first, 'THIRD-PARTY-LICENSES.txt'), 'utf8');
    for (const name of ['zod', 'commander', 'yaml', 'execa']) {
      expect(text).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\((MIT|ISC)\\)$`, 'm'));
    }
    expect(text).toContain('Copyright (c) 2025 Colin McDonnell');
    expect(text).not.toContain('has no licence file');
  });

  test('is the same, byte for byte, when it is made again', () => {
    expect(contentsOf(second)).toEqual(contentsOf(first));
  });
});

test('a file that a module finds in another way is refused', async () => {
  const program = join(work, 'hidden.mjs');
  writeFileSync(program, "console.log(new URL('./' + process.argv[2], import.meta.url));\n");
  writeFileSync(join(work, 'package.json'), '{ "name": "needy", "version": "1.0.0" }');
  await expect(bundle({ entries: { hidden: program }, outDir: join(work, 'fourth') })).rejects.toThrow(
    /hidden\.mjs uses import\.meta\.url/,
  );
});

test('a bundle without a file that a module needs is refused', async () => {
  const program = join(work, 'needy.mjs');
  writeFileSync(program, "console.log(new URL('./not-there.bin', import.meta.url));\n");
  writeFileSync(join(work, 'package.json'), '{ "name": "needy", "version": "1.0.0" }');
  await expect(bundle({ entries: { needy: program }, outDir: join(work, 'third') })).rejects.toThrow(
    /not-there\.bin/,
  );
});
