import { type FileHandle, mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createSpaceReserve, isOutOfSpace } from './space-reserve.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-reserve-'));
});
afterEach(() => rm(dir, { recursive: true }));

test('a reserve is made whole, and again when files of it are gone or cut', async () => {
  const reserve = createSpaceReserve(join(dir, 'r'), [{ bytes: 100, count: 3 }]);
  expect(await reserve.fill()).toBe(true);
  expect(await readdir(join(dir, 'r'))).toHaveLength(3);
  await rm(join(dir, 'r', '100-1'));
  expect(await reserve.fill()).toBe(true);
  expect((await stat(join(dir, 'r', '100-1'))).size).toBe(100);
  expect((await readFile(join(dir, 'r', '100-1')))[0]).not.toBe(0);
});

test('with space it writes as ever, and leaves the reserve alone', async () => {
  const reserve = createSpaceReserve(join(dir, 'r'), [{ bytes: 100, count: 1 }]);
  await reserve.fill();
  await reserve.writeFileAtomic(join(dir, 'x'), 'text');
  expect(await readFile(join(dir, 'x'), 'utf8')).toBe('text');
  expect(await readdir(join(dir, 'r'))).toEqual(['100-0']);
});

test('another failure than a full disk is thrown', async () => {
  const reserve = createSpaceReserve(join(dir, 'r'), [{ bytes: 100, count: 1 }]);
  await reserve.fill();
  await expect(reserve.writeFileAtomic(join(dir, 'no', 'x'), 'text')).rejects.toMatchObject({
    code: 'ENOENT',
  });
  expect(isOutOfSpace(null)).toBe(false);
  expect(isOutOfSpace({ code: 'EDQUOT' })).toBe(true);
});

test('on a full disk all of it is written, also when one write is short', async () => {
  const reserve = createSpaceReserve(join(dir, 'r'), [{ bytes: 100, count: 1 }]);
  await reserve.fill();
  const handle = await open(join(dir, 'r', '100-0'));
  await handle.close();
  const write: (...args: never[]) => unknown = handle.write;
  const methods = Object.getPrototypeOf(handle) as FileHandle;
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
  const spies = [
    vi.spyOn(methods, 'writeFile').mockRejectedValueOnce(full),
    vi.spyOn(methods, 'write').mockImplementation(function (this: FileHandle, data: Uint8Array) {
      return Reflect.apply(write, this, [data, 0, 10, 0]);
    } as never),
  ];
  try {
    await reserve.writeFileAtomic(join(dir, 'x'), 'a text of more than ten bytes');
    expect(await readFile(join(dir, 'x'), 'utf8')).toBe('a text of more than ten bytes');
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
});
