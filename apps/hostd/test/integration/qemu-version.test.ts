import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createVersionReader } from '../../src/vmm/qemu/version.js';

let directory: string;
let binary: string;
let asked: string;

/** Puts a program in the place of the one before, as a package manager does. */
async function install(says: string): Promise<void> {
  await writeFile(`${binary}.new`, `#!/bin/sh\necho asked >>${asked}\necho '${says}'\n`, { mode: 0o755 });
  await rename(`${binary}.new`, binary);
}

const timesAsked = async (): Promise<number> =>
  (await readFile(asked, 'utf8').catch(() => '')).split('\n').length - 1;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-qemu-version-'));
  binary = join(directory, 'qemu');
  asked = join(directory, 'asked');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('asks a program once, however many want to know', async () => {
  await install('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)');
  const version = createVersionReader(binary);
  expect(await Promise.all([version(), version(), version()])).toEqual(['7.2.22', '7.2.22', '7.2.22']);
  expect(await version()).toBe('7.2.22');
  expect(await timesAsked()).toBe(1);
});

it('asks again when the program is another one', async () => {
  await install('QEMU emulator version 7.2.22');
  const version = createVersionReader(binary);
  expect(await version()).toBe('7.2.22');
  await install('QEMU emulator version 8.0.0');
  expect(await version()).toBe('8.0.0');
  expect(await timesAsked()).toBe(2);
});

it('fails for a program that is not there, and for one that says nothing, and keeps neither', async () => {
  const version = createVersionReader(binary);
  await expect(version()).rejects.toMatchObject({ reason: 'vmm.missing' });
  await install('nothing of use');
  await expect(version()).rejects.toMatchObject({ reason: 'vmm.missing' });
  await install('QEMU emulator version 7.2.22');
  expect(await version()).toBe('7.2.22');
});

it('finds a program by its name', async () => {
  await expect(createVersionReader('qemu-that-nobody-has')()).rejects.toMatchObject({
    reason: 'vmm.missing',
  });
  expect(await createVersionReader('qemu-system-x86_64')()).toMatch(/^\d+\.\d+\.\d+$/);
});
