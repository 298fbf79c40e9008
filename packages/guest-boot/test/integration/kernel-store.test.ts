import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  addKernel,
  BOOT_MODULES,
  findKernel,
  listKernels,
  removeKernel,
  setDefaultKernel,
} from '../../src/index.js';

let dir: string;
let root: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-kernels-'));
  root = join(dir, 'kernels');
  await mkdir(join(dir, 'modules'));
  for (const name of BOOT_MODULES)
    await writeFile(join(dir, 'modules', `${name}.ko`), 'license=GPL\0depends=\0');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function files(content = 'one') {
  const vmlinux = join(dir, `vmlinux-${content}`);
  await writeFile(vmlinux, `\x7fELF${content}`, 'latin1');
  return { vmlinux, modulesDir: join(dir, 'modules'), version: '1' };
}

const names = async () => (await listKernels(root)).map(({ name }) => name);
const chosen = async () => (await listKernels(root)).find(({ isDefault }) => isDefault)?.name;

it('takes one that several commands add at once, and leaves nothing else', async () => {
  const kernel = await files();
  await Promise.all([1, 2, 3, 4].map(() => addKernel(root, 'own', kernel)));
  expect((await readdir(root)).sort()).toEqual(['default', 'own']);
  expect(await chosen()).toBe('own');
});

it('has a default one as long as there is any', async () => {
  for (const name of ['a', 'b', 'c']) await addKernel(root, name, await files(name));
  await setDefaultKernel(root, 'b');
  await removeKernel(root, 'b');
  expect(await chosen()).toBe('c');
  await removeKernel(root, 'c');
  await removeKernel(root, 'a');
  expect(await readdir(root)).toEqual([]);
  await expect(removeKernel(root, 'a')).rejects.toMatchObject({ reason: 'kernel.not_found' });
});

it('replaces and removes a damaged one', async () => {
  const kernel = await files();
  for (const mend of [() => addKernel(root, 'own', kernel), () => removeKernel(root, 'own')]) {
    await addKernel(root, 'own', kernel);
    await writeFile(join(root, 'own', 'kernel.json'), '{');
    expect(await names()).toEqual([]);
    await mend();
  }
  expect(await readdir(root)).toEqual([]);
});

it('removes what killed commands left, and nothing that a living one uses', async () => {
  await addKernel(root, 'own', await files());
  for (const name of ['.work-a', '.add-b', '.fetch-c', '.removed-d-1']) await mkdir(join(root, name));
  await addKernel(root, 'two', await files('two'));
  expect((await readdir(root)).sort()).toEqual(['default', 'own', 'two']);
  expect(await readlink(join(root, 'default'))).toBe('own');
});

it.each([
  ['a device', '/dev/zero', 'not a regular file'],
  ['a directory', '/', 'not a regular file'],
  ['no kernel', '/etc/hostname', 'neither a bzImage nor an ELF file'],
  ['nothing', '/nonexistent', 'ENOENT'],
])('refuses %s as a kernel', async (_, vmlinux, why) => {
  await expect(addKernel(root, 'own', { ...(await files()), vmlinux })).rejects.toMatchObject({
    code: 'failed_precondition',
    reason: 'kernel.unusable',
    message: expect.stringContaining(why),
  });
});

it('refuses a pipe and a missing directory of modules, without waiting', async () => {
  const kernel = await files();
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  await expect(addKernel(root, 'own', { ...kernel, vmlinux: fifo })).rejects.toMatchObject({
    reason: 'kernel.unusable',
  });
  await expect(addKernel(root, 'own', { ...kernel, modulesDir: '/nonexistent' })).rejects.toMatchObject({
    reason: 'kernel.unusable',
  });
});

it('does not call a store empty that it cannot read', async () => {
  await writeFile(root, '');
  await expect(listKernels(root)).rejects.toMatchObject({ reason: 'kernel.io' });
  await expect(findKernel(root, 'own')).rejects.toMatchObject({ reason: 'kernel.io' });
});
