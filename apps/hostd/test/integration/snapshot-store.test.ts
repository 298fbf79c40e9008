import { randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SnapshotManifest } from '../../src/snapshot/manifest.js';
import {
  consumeSnapshot,
  discardSnapshots,
  readManifest,
  readMemoryImage,
  commitSnapshot as renameSnapshot,
  type SnapshotPaths,
  snapshotPaths,
  stageManifest,
  verifyMemoryImage,
  writeMemoryImage,
} from '../../src/snapshot/snapshot-store.js';

const key = Buffer.alloc(32, 1);
// A page of text between random pages: compressible, and recognisable if it ever stood on disk.
const needle = Buffer.from('PLAINTEXT-OF-THE-GUEST '.repeat(100));
const image = Buffer.concat([randomBytes(300_000), needle, Buffer.alloc(700_000), randomBytes(100)]);

let directory: string;
let paths: SnapshotPaths;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-snapshot-'));
  paths = snapshotPaths(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function* source(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 64_000) yield bytes.subarray(at, at + 64_000);
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

function manifest(memory: SnapshotManifest['memory']): SnapshotManifest {
  return {
    format: 1,
    tenant_id: 'acme',
    pool_id: 'workers',
    instance_id: 'i-1',
    created_at: '2026-01-01T00:00:00.000Z',
    vmm: 'qemu',
    vmm_version: '7.2.22',
    accelerator: 'tcg',
    image_digest: null,
    argv: ['-M', 'microvm'],
    launch: { vmId: 'tn3i5' } as SnapshotManifest['launch'],
    memory,
    disks: [],
  };
}

async function commitSnapshot(at: SnapshotPaths, described: SnapshotManifest): Promise<void> {
  await stageManifest(at, described);
  expect(await readManifest(at)).toBeNull();
  await renameSnapshot(at);
}

describe.each([
  { compression: 'none', key: null },
  { compression: 'none', key },
  { compression: 'lz4', key: null },
  { compression: 'zstd', key: null },
  { compression: 'lz4', key },
  { compression: 'zstd', key },
] as const)('a memory image, compression $compression', (options) => {
  it(`comes back as it was${options.key ? ', sealed' : ''}`, async () => {
    const memory = await writeMemoryImage(paths, source(image), options);
    expect(memory.plain_bytes).toBe(image.length);
    expect(await readManifest(paths)).toBeNull();
    await commitSnapshot(paths, manifest(memory));
    const stored = await readFile(join(paths.committed, 'memory'));
    expect(stored.length).toBe(memory.stored_bytes);
    if (options.compression !== 'none') expect(stored.length).toBeLessThan(image.length * 0.6);
    expect(stored.includes(needle)).toBe(options.compression === 'none' && options.key === null);
    const read = await readManifest(paths);
    expect(read).toEqual(manifest(memory));
    await verifyMemoryImage(paths, manifest(memory));
    expect((await collect(readMemoryImage(paths, manifest(memory), options.key))).equals(image)).toBe(true);
  });

  it('is refused when a byte changed, or it was cut or grew', async () => {
    const memory = await writeMemoryImage(paths, source(image), options);
    await commitSnapshot(paths, manifest(memory));
    const file = join(paths.committed, 'memory');
    const good = await readFile(file);
    const handle = await open(file, 'r+');
    await handle.write(Buffer.from([(good[good.length >> 1] ?? 0) ^ 1]), 0, 1, good.length >> 1);
    await handle.close();
    await expect(verifyMemoryImage(paths, manifest(memory))).rejects.toMatchObject({
      reason: 'snapshot.damaged',
    });
    await writeFile(file, good);
    await verifyMemoryImage(paths, manifest(memory));
    await truncate(file, good.length - 1);
    await expect(verifyMemoryImage(paths, manifest(memory))).rejects.toMatchObject({
      reason: 'snapshot.damaged',
    });
    await writeFile(file, good);
    await appendFile(file, 'x');
    await expect(verifyMemoryImage(paths, manifest(memory))).rejects.toMatchObject({
      reason: 'snapshot.damaged',
    });
  });
});

describe('snapshot directory', () => {
  it('holds nothing after a source that fails midway, compressed or not', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      async function* broken(): AsyncGenerator<Buffer> {
        yield image.subarray(0, 200_000);
        throw new Error('the VMM went away');
      }
      await expect(writeMemoryImage(paths, broken(), { compression, key: null })).rejects.toThrow(
        'the VMM went away',
      );
      expect(await readdir(directory)).toEqual([]);
    }
  });

  it('lets go of a reader that stops midway', async () => {
    const memory = await writeMemoryImage(paths, source(randomBytes(3_000_000)), {
      compression: 'zstd',
      key: null,
    });
    await commitSnapshot(paths, manifest(memory));
    for await (const piece of readMemoryImage(paths, manifest(memory), null)) {
      expect(piece.byteLength).toBeGreaterThan(0);
      break;
    }
  });

  it('is used once', async () => {
    const memory = await writeMemoryImage(paths, source(image), { compression: 'none', key: null });
    await commitSnapshot(paths, manifest(memory));
    await consumeSnapshot(paths);
    expect(await readManifest(paths)).toBeNull();
    await expect(consumeSnapshot(paths)).rejects.toMatchObject({ code: 'ENOENT' });
    await discardSnapshots(paths, 'all');
    await discardSnapshots(paths, 'all');
    expect(await readdir(directory)).toEqual([]);
  });

  it('refuses a sealed snapshot without its key, and a manifest that is not one', async () => {
    const memory = await writeMemoryImage(paths, source(image), { compression: 'none', key });
    await commitSnapshot(paths, manifest(memory));
    expect(() => readMemoryImage(paths, manifest(memory), null)).toThrowError(/no key/);
    await expect(
      collect(readMemoryImage(paths, manifest(memory), Buffer.alloc(32, 2))),
    ).rejects.toMatchObject({
      reason: 'snapshot.unseal_failed',
    });
    await writeFile(join(paths.committed, 'meta.json'), '{"format":2}');
    await expect(readManifest(paths)).rejects.toMatchObject({ reason: 'snapshot.damaged' });
  });
});
