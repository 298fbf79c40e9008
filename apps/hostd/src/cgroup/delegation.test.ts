import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkDelegation, enableControllers, splitParent } from './delegation.js';

describe('splitParent', () => {
  it.each([
    ['mvm', '', 'mvm'],
    ['a/b', '', 'a/b'],
    ['mvm.slice/mvm-vms.service/vms', 'mvm.slice/mvm-vms.service', 'vms'],
    ['mvm.slice/mvm-vms.service', 'mvm.slice/mvm-vms.service', ''],
    ['user.slice/run-1.scope/a/b', 'user.slice/run-1.scope', 'a/b'],
    ['mvm.services', '', 'mvm.services'],
  ])('%s', (parent, unit, own) => {
    expect(splitParent(parent)).toEqual({ unit, own });
  });
});

describe('a delegated unit', () => {
  const unit = 'mvm.slice/mvm-vms.service';
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'mvm-delegation-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('is refused without a cgroup, and without a controller that limits VMs', async () => {
    const path = splitParent(`${unit}/vms`);
    await expect(checkDelegation(root, path)).rejects.toMatchObject({ reason: 'cgroup.not_delegated' });
    await mkdir(join(root, unit), { recursive: true });
    await writeFile(join(root, unit, 'cgroup.controllers'), 'memory pids\n');
    await expect(checkDelegation(root, path)).rejects.toThrow(/cpu/);
    await writeFile(join(root, unit, 'cgroup.controllers'), 'cpu io memory pids\n');
    await expect(checkDelegation(root, path)).resolves.toBeUndefined();
    await expect(checkDelegation(root, splitParent('mvm'))).resolves.toBeUndefined();
  });

  it('is not made, and not written to when its controllers are enabled', async () => {
    const directory = join(root, unit);
    await expect(enableControllers(directory, unit)).rejects.toMatchObject({
      reason: 'cgroup.not_delegated',
    });
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'cgroup.subtree_control'), 'cpu io memory pids\n');
    await enableControllers(directory, unit);
    const control = (): Promise<string> => readFile(join(directory, 'cgroup.subtree_control'), 'utf8');
    expect(await control()).toBe('cpu io memory pids\n');
    await writeFile(join(directory, 'cgroup.subtree_control'), 'memory\n');
    await enableControllers(directory, unit);
    expect(await control()).toBe('+memory +cpu +pids');
  });
});
