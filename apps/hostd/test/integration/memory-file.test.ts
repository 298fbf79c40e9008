import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { beginChecksum, type ImageChecksum } from '../../src/snapshot/checksum.js';
import { hasChecksum, writeDurably, writeImageDurably } from '../../src/snapshot/memory-file.js';

// Long enough for several batches and flushes, and no multiple of either.
const content = randomBytes(13_000_001);

/** The content's GMAC in one piece. */
function gmacOfContent(key: string): string {
  const cipher = createCipheriv('aes-128-gcm', Buffer.from(key, 'hex'), Buffer.alloc(12));
  cipher.setAAD(content).final();
  return cipher.getAuthTag().toString('hex');
}

function expectChecksum(written: { bytes: number; checksum: ImageChecksum }): void {
  const { bytes, checksum } = written;
  if (checksum.algorithm !== 'gmac') throw new Error(`a checksum by ${checksum.algorithm}`);
  expect({ bytes, value: checksum.value }).toEqual({
    bytes: content.length,
    value: gmacOfContent(checksum.key),
  });
}

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
    const written = await writeDurably(file, inPieces(size));
    expectChecksum(written);
    expect(await whole()).toBe(true);
    expect(await hasChecksum(path, written.checksum)).toBe(true);
  });

  it.each([0, 1, 6_500_000, content.length - 1])(
    'is known to be damaged by one bit, in byte %d',
    async (at) => {
      const { checksum } = await writeDurably(file, inPieces(65_536));
      const byte = Buffer.from([(content[at] as number) ^ 0x10]);
      await file.write(byte, 0, 1, at);
      expect(await hasChecksum(path, checksum)).toBe(false);
    },
  );

  it('is known to be damaged by a byte less, or more', async () => {
    const { checksum } = await writeDurably(file, inPieces(65_536));
    await file.truncate(content.length - 1);
    expect(await hasChecksum(path, checksum)).toBe(false);
    await file.truncate(content.length + 1);
    expect(await hasChecksum(path, checksum)).toBe(false);
  });

  it('has a checksum of its own each time', async () => {
    const [one, other] = [
      await writeDurably(file, inPieces(65_536)),
      await writeDurably(file, inPieces(65_536)),
    ];
    expect(one.checksum).not.toEqual(other.checksum);
  });

  it('may have been written with a sha256', async () => {
    const value = createHash('sha256').update(content).digest('hex');
    await writeDurably(file, inPieces(65_536));
    expect(await hasChecksum(path, { algorithm: 'sha256', value })).toBe(true);
    await file.truncate(content.length - 1);
    expect(await hasChecksum(path, { algorithm: 'sha256', value })).toBe(false);
  });

  it('is whole when the kernel takes less at once than it was given', async () => {
    const writev = file.writev.bind(file);
    file.writev = ((pieces: readonly Uint8Array[]) => {
      const [first, second] = pieces;
      const some = second === undefined ? [first?.subarray(0, 50_000)] : [first, second.subarray(0, 1_000)];
      return writev(some as Uint8Array[]);
    }) as FileHandle['writev'];
    expectChecksum(await writeDurably(file, inPieces(65_536)));
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

  it('is not read to its end for a reader that has given up', async () => {
    const { checksum } = await writeDurably(file, inPieces(700_000));
    const given = AbortSignal.abort(new Error('not wanted any more'));
    await expect(hasChecksum(path, checksum, given)).rejects.toThrow('not wanted any more');
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

it('is GMAC as its authors have it: test case 1 of the GCM specification', () => {
  const begun = beginChecksum({ algorithm: 'gmac', key: '00'.repeat(16), value: '' });
  expect(begun.finish()).toMatchObject({ value: '58e2fccefa7e3061367f1d57a4e7455a' });
});

describe('the file of an image that is mapped', () => {
  const MIB = 1_048_576;
  /** Zeros at the beginning, in the midst and at the end; and some in blocks that are not all zeros. */
  const sparse = Buffer.alloc(9 * MIB);
  randomBytes(MIB).copy(sparse, 2 * MIB);
  sparse.write('alone', 5 * MIB + 100_000);
  randomBytes(3 * MIB).copy(sparse, 5 * MIB + 200_000);

  /** As a reader with one buffer gives them: a piece is overwritten once the next one is asked for. */
  async function* reused(size: number): AsyncGenerator<Buffer> {
    const buffer = Buffer.alloc(size);
    for (let at = 0; at < sparse.length; at += size) {
      const piece = buffer.subarray(0, Math.min(size, sparse.length - at));
      sparse.copy(piece, 0, at);
      yield piece;
      buffer.fill(0xff);
    }
  }

  it.each([65_536, MIB, 4 * MIB])('has holes for zeros, out of pieces of %d bytes', async (size) => {
    const { bytes, checksum } = await writeImageDurably(file, reused(size));
    expect(bytes).toBe(sparse.length);
    expect((await readFile(path)).equals(sparse)).toBe(true);
    expect(await hasChecksum(path, checksum)).toBe(true);
    expect((await stat(path)).blocks * 512).toBeLessThan(5 * MIB);
    const again = beginChecksum(checksum);
    again.update(sparse);
    expect(again.finish()).toEqual(checksum);
  });

  it('fails as its source does', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(MIB, 1);
      throw new Error('the VMM went away');
    }
    await expect(writeImageDurably(file, broken())).rejects.toThrow('the VMM went away');
  });
});
