import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  isTemporaryName,
  readFileIfThere,
  removeTemporaryFiles,
  writeFileAtomic,
  writeNewFile,
} from './durable-file.js';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-durable-'));
});
afterEach(() => rm(dir, { recursive: true }));

describe('writeFileAtomic', () => {
  it('replaces the content, mode 0600, and leaves no other file', async () => {
    const path = join(dir, 'a.json');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, new TextEncoder().encode('two'));
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(['a.json']);
  });

  it('writes beside what a killed process with the same pid left', async () => {
    const path = join(dir, 'c.json');
    const left = Array.from({ length: 20 }, (_, index) => `.c.json.tmp-${process.pid}-${index + 1}`);
    for (const name of left) await writeNewFile(join(dir, name), 'half', 0o600);
    await writeFileAtomic(path, 'whole');
    expect(await readFile(path, 'utf8')).toBe('whole');
    await removeTemporaryFiles(dir);
    expect(await readdir(dir)).toEqual(['c.json']);
  });

  it('keeps the old content and leaves no temporary file when it fails', async () => {
    await expect(writeFileAtomic(join(dir, 'missing', 'a'), 'x')).rejects.toMatchObject({ code: 'ENOENT' });
    const path = join(dir, 'b');
    await writeNewFile(join(dir, 'other'), 'x', 0o644);
    // A directory cannot be replaced by a file.
    await expect(writeFileAtomic(dir, 'x')).rejects.toThrow();
    expect(await readFileIfThere(path)).toBeNull();
    expect((await readdir(dir)).filter(isTemporaryName)).toEqual([]);
  });
});

it('writeNewFile gives exactly the mode that it is asked for, and never overwrites', async () => {
  const path = join(dir, 'image');
  await writeNewFile(path, 'x', 0o644);
  expect((await stat(path)).mode & 0o777).toBe(0o644);
  await expect(writeNewFile(path, 'y', 0o644)).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await readFile(path, 'utf8')).toBe('x');
});

it('knows the names of the temporary files of writeFileAtomic', () => {
  expect(isTemporaryName('.a.json.tmp-12-3')).toBe(true);
  expect(isTemporaryName('a.json')).toBe(false);
});
