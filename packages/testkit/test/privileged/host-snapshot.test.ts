import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, expect, test } from 'vitest';
import { diffHost, snapshotHost } from '../../src/index.js';

const mark = `mvmleak${process.pid}`;
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

test('each kind of leftover is found, and gone once it is removed', async () => {
  const options = { marks: [mark] };
  const before = await snapshotHost(options);

  const dir = mkdtempSync(join(tmpdir(), `${mark}-`));
  undo.push(() => rmSync(dir, { recursive: true }));
  await execa('ip', ['link', 'add', 'mvmleak0', 'type', 'bridge']);
  undo.push(() => execa('ip', ['link', 'del', 'mvmleak0']));
  await execa('nft', ['add', 'table', 'inet', mark]);
  undo.push(() => execa('nft', ['delete', 'table', 'inet', mark]));
  await execa('mount', ['-t', 'tmpfs', mark, dir]);
  undo.push(() => execa('umount', [dir]));
  const cgroup = join(await cgroupParent(), mark);
  mkdirSync(cgroup);
  undo.push(() => rmdirSync(cgroup));
  const child = execa('sleep', ['60', '60'], { argv0: mark, reject: false });
  undo.push(async () => {
    child.kill('SIGKILL');
    await child;
  });

  const found = diffHost(before, await snapshotHost(options));
  expect(new Set(found.map(({ kind, change }) => `${change} ${kind}`))).toEqual(
    new Set(['links', 'nftTables', 'mounts', 'cgroups', 'processes', 'files'].map((kind) => `added ${kind}`)),
  );

  for (const step of undo.splice(0).reverse()) await step();
  expect(diffHost(before, await snapshotHost(options))).toEqual([]);
});

/** Where a child group may be made: the pids hierarchy on version 1 hosts, else the root of version 2. */
async function cgroupParent(): Promise<string> {
  const { stdout } = await execa('stat', ['-fc', '%T', '/sys/fs/cgroup']);
  return stdout.trim() === 'cgroup2fs' ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
}
