import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cgroupPids, listCgroups, makeCgroup, removeCgroup } from '../../src/cgroup/cgroup-tree.js';
import { createCgroups } from '../../src/cgroup/cgroups.js';

const limits = { memoryMaxBytes: 256 * 1_048_576, cpuMaxPercent: 150, pidsMax: 40 };
const children: ChildProcess[] = [];

/** A process whose threads are all there, and that would run for a minute. */
async function sleeper(): Promise<ChildProcess & { pid: number }> {
  const child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setTimeout(() => {}, 60000)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  if (child.pid === undefined) throw new Error('no child');
  return child as unknown as ChildProcess & { pid: number };
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
});

describe('the cgroups of this host', () => {
  const parent = `mvm-test-${process.pid}`;

  it('limit, hold, kill and go away without a trace', async () => {
    const cgroups = await createCgroups({ parent });
    await cgroups.create('tn3i5', limits);
    await cgroups.create('tn3i5', limits);
    await cgroups.create('tn4i3', limits);
    expect(await cgroups.list()).toEqual(['tn3i5', 'tn4i3']);
    const memory = join(cgroups.root, parent, 'tn3i5');
    const read = (file: string): Promise<string> => readFile(join(memory, file), 'utf8');
    // Finding 22: nothing of a guest is swapped.
    if (cgroups.version === 2) expect((await read('memory.swap.max')).trim()).toBe('0');
    else {
      expect((await read('memory.swappiness')).trim()).toBe('0');
      expect((await read('memory.memsw.limit_in_bytes')).trim()).toBe(String(limits.memoryMaxBytes));
    }
    const child = await sleeper();
    await cgroups.attach('tn3i5', child.pid);
    const membership = await readFile(`/proc/${child.pid}/cgroup`, 'utf8');
    expect(membership.split('\n').filter((line) => line.endsWith(`/${parent}/tn3i5`))).toHaveLength(
      cgroups.version === 2 ? 1 : 3,
    );
    const stats = await cgroups.stats('tn3i5');
    expect(stats).toMatchObject(limits);
    expect(stats.memoryCurrentBytes).not.toBeNull();
    // Every thread counts, so all of them were moved.
    expect(stats.pidsCurrent).toBeGreaterThan(4);
    const exit = once(child, 'exit');
    await cgroups.kill('tn3i5');
    expect((await exit)[1]).toBe('SIGKILL');
    await cgroups.kill('tn3i5');
    await cgroups.remove('tn3i5');
    await cgroups.remove('tn3i5');
    await cgroups.remove('tn4i3');
    expect(await cgroups.list()).toEqual([]);
    const trees = [...new Set(['memory', 'cpu', 'pids', 'unified', '.'])].map((tree) =>
      join('/sys/fs/cgroup', tree, parent),
    );
    expect(trees.filter((path) => existsSync(path))).toEqual([]);
  });

  it('limit for real: a process cannot fork beyond pids.max', async () => {
    const cgroups = await createCgroups({ parent });
    await cgroups.create('tn3i6', { ...limits, pidsMax: 3 });
    try {
      const child = spawn('/bin/sh', ['-c', 'read go; for i in 1 2 3 4 5; do sleep 30 & done; wait'], {
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      children.push(child);
      await cgroups.attach('tn3i6', child.pid as number);
      child.stdin?.end('go\n');
      let said = '';
      for await (const chunk of child.stderr ?? []) {
        said += String(chunk);
        if (/fork/i.test(said)) break;
      }
      expect(said).toMatch(/fork/i);
    } finally {
      await cgroups.kill('tn3i6');
      await cgroups.remove('tn3i6');
    }
  });

  it('refuse a process that does not exist, and a parent that leaves the tree or is a unit of systemd', async () => {
    const cgroups = await createCgroups({ parent });
    await cgroups.create('tn3i7', limits);
    try {
      await expect(cgroups.attach('tn3i7', 4_194_303)).rejects.toThrow(/ESRCH/);
    } finally {
      await cgroups.remove('tn3i7');
    }
    for (const bad of ['../x', '/abs', 'a//b', '', 'a/../b', 'a b', 'system.slice', 'a/b.service']) {
      await expect(createCgroups({ parent: bad })).rejects.toMatchObject({ reason: 'cgroup.bad_parent' });
    }
  });

  it('survive a race of the last removal against new ones', async () => {
    const cgroups = await createCgroups({ parent });
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        for (let round = 0; round < 10; round += 1) {
          await cgroups.create(`tn9i${index + 3}`, limits);
          await cgroups.remove(`tn9i${index + 3}`);
        }
      }),
    );
    expect(await cgroups.list()).toEqual([]);
  });
});

describe('version 2', () => {
  it('writes and reads the limits in the form of its control files', async () => {
    // A directory stands in for a tree with controllers, which this kernel may have given to version 1 mounts.
    const root = await mkdtemp(join(tmpdir(), 'mvm-cgroup2-'));
    try {
      const leaf = join(root, 'mvm', 'tn3i5');
      await mkdir(leaf, { recursive: true });
      for (const file of ['memory.swap.max']) await writeFile(join(leaf, file), 'max\n');
      const cgroups = await createCgroups({ parent: 'mvm', hierarchies: { version: 2, root } });
      await cgroups.create('tn3i5', limits);
      const written = Object.fromEntries(
        await Promise.all(
          (await readdir(leaf)).map(async (file) => [file, await readFile(join(leaf, file), 'utf8')]),
        ),
      );
      expect(written).toEqual({
        'cpu.max': '150000 100000',
        'memory.max': '268435456',
        'memory.swap.max': '0',
        'pids.max': '40',
      });
      expect(await readFile(join(root, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu +pids');
      expect(await readFile(join(root, 'mvm', 'cgroup.subtree_control'), 'utf8')).toBe('+memory +cpu +pids');
      expect(await cgroups.stats('tn3i5')).toEqual({
        ...limits,
        memoryCurrentBytes: null,
        pidsCurrent: null,
      });
    } finally {
      await rm(root, { recursive: true });
    }
  });

  // The mount of a real version 2 tree: /sys/fs/cgroup itself, or beside version 1 hierarchies on a hybrid host.
  const root = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((path) =>
    existsSync(join(path, 'cgroup.controllers')),
  );

  it('holds, kills and removes in the real tree', async () => {
    if (root === undefined) throw new Error('this host has no cgroup2 mount: mount one to run this test');
    const parent = `mvm-test2-${process.pid}`;
    const cgroups = await createCgroups({ parent, hierarchies: { version: 2, root } });
    const directory = await makeCgroup(root, parent, 'tn3i5');
    const child = await sleeper();
    await cgroups.attach('tn3i5', child.pid);
    expect(await cgroupPids(directory)).toEqual([child.pid]);
    await expect(rmdir(directory)).rejects.toMatchObject({ code: 'EBUSY' });
    const exit = once(child, 'exit');
    await cgroups.kill('tn3i5');
    expect((await exit)[1]).toBe('SIGKILL');
    await removeCgroup(root, parent, 'tn3i5');
    expect(await listCgroups(root, parent)).toEqual([]);
    expect(existsSync(join(root, parent))).toBe(false);
  });
});
