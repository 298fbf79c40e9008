import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockHandle, withDirectoryLock } from './lock.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-lock-'));
});
afterEach(() => rm(dir, { recursive: true }));

it('lets one at a time change a directory, and leaves nothing in it', async () => {
  let inside = 0;
  let most = 0;
  const change = () =>
    withDirectoryLock(dir, async () => {
      inside += 1;
      most = Math.max(most, inside);
      await readdir(dir);
      inside -= 1;
    });
  await Promise.all([change(), change(), change()]);
  expect(most).toBe(1);
  expect(await readdir(dir)).toEqual([]);
});

it('says when another one has the lock, and takes it once that is closed', async () => {
  const [first, second] = [await open(dir), await open(dir)];
  try {
    expect(await lockHandle(first, 0)).toBe(true);
    expect(await lockHandle(second, 0)).toBe(false);
    await first.close();
    expect(await lockHandle(second, 0)).toBe(true);
  } finally {
    await second.close();
  }
});

it('ends the lock when the change fails', async () => {
  await expect(withDirectoryLock(dir, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await withDirectoryLock(dir, async () => 'changed')).toBe('changed');
});
