import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../../bin/mvm.js', import.meta.url));
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mvm-program-'));
  put('package.json', '{ "type": "module" }');
  put('bin/mvm.js', '');
  copyFileSync(BIN, join(dir, 'bin/mvm.js'));
  put('dist/main.js', "console.log('compiled');");
  put('dist/.tsbuildinfo', '{}', 1000);
});
afterEach(() => rmSync(dir, { recursive: true }));

function put(path: string, text: string, seconds?: number): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
  if (seconds !== undefined) utimesSync(join(dir, path), seconds, seconds);
}
function putBundle(seconds: number): void {
  put('dist/bundle/mvm.js', "console.log('bundled');");
  put('dist/bundle/inputs.json', '["../.tsbuildinfo"]', seconds);
}
const run = () => spawnSync(process.execPath, [join(dir, 'bin/mvm.js')], { encoding: 'utf8' });

it('runs the bundle', () => {
  putBundle(1000);
  expect(run()).toMatchObject({ stdout: 'bundled\n', stderr: '' });
});

it('runs what was compiled later than the bundle', () => {
  putBundle(999);
  expect(run()).toMatchObject({ stdout: 'compiled\n', stderr: '' });
});

it('runs without a bundle', () => {
  expect(run()).toMatchObject({ stdout: 'compiled\n', stderr: '' });
});
