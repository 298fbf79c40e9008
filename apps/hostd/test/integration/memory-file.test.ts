import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256OfFile, writeDurably } from '../../src/snapshot/memory-file.js';

// Long enough for several batches and flushes, and no multiple of either.
const content = randomBytes(13_000_001);
const sha256 = createHash('sha256').update(content).digest('hex');

let directory: string;
let path: string;
let file: FileHandle;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-memory-file-'));
  path = join(directory, 'memory');
  file = await open(path, 'wx', 0o600);
});
afterEach(async () => {
  await file.close();
  await rm(directory, { recursive: true, force: true });
});

async function* inPieces(size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size);
}

async function whole(): Promise<boolean> {
  return (await readFile(path)).equals(content);
}

describe('the file of a memory image', () => {
  it.each([4_000, 65_536, 700_000, 6_000_000])('holds what came in pieces of %d bytes', async (size) => {
    expect(await writeDurably(file, inPieces(size))).toEqual({ bytes: content.length, sha256 });
    expect(await whole()).toBe(true);
    expect(await sha256OfFile(path)).toBe(sha256);
  });

  it('is whole when the kernel takes less at once than it was given', async () => {
    const writev = file.writev.bind(file);
    file.writev = ((pieces: readonly Uint8Array[]) => {
      const [first, second] = pieces;
      const some = second === undefined ? [first?.subarray(0, 50_000)] : [first, second.subarray(0, 1_000)];
      return writev(some as Uint8Array[]);
    }) as FileHandle['writev'];
    expect(await writeDurably(file, inPieces(65_536))).toEqual({ bytes: content.length, sha256 });
    expect(await whole()).toBe(true);
  });

  it('is not taken for durable when an early flush has failed, whatever the last fsync says', async () => {
    let asked = 0;
    file.datasync = async () => {
      asked += 1;
      throw new Error('the disk is broken');
    };
    await expect(writeDurably(file, inPieces(65_536))).rejects.toThrow('the disk is broken');
    expect(asked).toBe(1);
  });

  it('is not read to its end for somebody who has given up', async () => {
    await writeDurably(file, inPieces(700_000));
    const given = AbortSignal.abort(new Error('not wanted any more'));
    await expect(sha256OfFile(path, given)).rejects.toThrow('not wanted any more');
  });

  it('has nothing under way after a source that fails', async () => {
    const under = { way: 0 };
    const datasync = file.datasync.bind(file);
    file.datasync = async () => {
      under.way += 1;
      await datasync().finally(() => {
        under.way -= 1;
      });
    };
    async function* broken(): AsyncGenerator<Buffer> {
      yield content.subarray(0, 9_000_000);
      throw new Error('the VMM went away');
    }
    await expect(writeDurably(file, broken())).rejects.toThrow('the VMM went away');
    expect(under.way).toBe(0);
  });
});
