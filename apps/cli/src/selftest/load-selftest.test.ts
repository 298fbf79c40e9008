import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadSelftest, notInstalled } from './load-selftest.js';

it('finds the self-test where it is installed', async () => {
  expect(Object.keys(await loadSelftest())).toContain('launchSelftest');
});

it('says how to get it where it is not', () => {
  expect(notInstalled(undefined)).toMatchObject({
    code: 'failed_precondition',
    reason: 'selftest.not_installed',
    hint: expect.stringContaining('npm run setup'),
  });
});

it('is told by the code that Node.js gives a package that is not there', () => {
  const dir = mkdtempSync(join(tmpdir(), 'mvm-no-selftest-'));
  try {
    const text = "import('@mvm/selftest').catch((error) => console.log(error.code))";
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
      cwd: dir,
      encoding: 'utf8',
    });
    expect(stdout.trim()).toBe('ERR_MODULE_NOT_FOUND');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

it('is no dependency of an install', () => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  expect(Object.keys(manifest.dependencies)).not.toContain('@mvm/selftest');
  expect(manifest.peerDependenciesMeta).toEqual({ '@mvm/selftest': { optional: true } });
});
