import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildGuestImage } from '@mvm/guest-image';
import { addImage, imagesDir } from '@mvm/image-store';
import { diffHost, type HostSnapshot, snapshotHost } from '@mvm/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';

const repo = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const mvm = repo('apps/cli/bin/mvm.js');
const look = (): Promise<HostSnapshot> => snapshotHost({ marks: ['mvmst-'] });

let stateDir: string;
let before: HostSnapshot;
beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'mvm-selftest-images-'));
  await addImage(imagesDir(stateDir), {
    name: 'demo',
    ...(await buildGuestImage({ outDir: repo('.cache/guest-image') })),
  });
  before = await look();
}, 240_000);
afterAll(() => rm(stateDir, { recursive: true, force: true }));

const args = (...more: string[]): string[] => [
  mvm,
  'selftest',
  '--state-dir',
  stateDir,
  '--hostd',
  repo('apps/hostd/bin/mvm-hostd.js'),
  ...more,
];

test('mvm selftest: a guest starts, sleeps, wakes, survives kill -9 of hostd, and nothing is left', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, args('-o', 'json'));
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ kind: 'Selftest', failed: 0, notes: [] });
  expect(report.cases.map(({ step }: { step: string }) => step)).toEqual([
    'start',
    'network',
    'sleep',
    'wake',
    'kill -9 of hostd',
    'destroy',
  ]);
  expect(diffHost(before, await look())).toEqual([]);
});

test('mvm selftest --crash prints the table of what became of each crash', async () => {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    args('--crash', '--operation', 'setup_network', '--sample', '2'),
  );
  expect(stdout).toMatch(/^OPERATION +STEP +/);
  expect(stdout).toContain('setup network');
  expect(stdout).not.toContain('FAIL');
  expect(stderr).toContain('2 passed, 0 failed (seed 1)');
  expect(stderr).toMatch(/^of the run: .*nothing left$/m);
  expect(diffHost(before, await look())).toEqual([]);
});

test('Ctrl-C ends it, and leaves nothing', async () => {
  const child = spawn(process.execPath, args('--crash'), { stdio: ['ignore', 'ignore', 'pipe'] });
  const exit = once(child, 'exit');
  let said = '';
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
      // VMs run by then.
      if (said.includes('looking at its steps')) resolve();
    });
    child.once('exit', () => resolve());
  });
  expect(said).toContain('looking at its steps');
  child.kill('SIGINT');
  expect(await exit).toEqual([130, null]);
  expect(diffHost(before, await look())).toEqual([]);
});
