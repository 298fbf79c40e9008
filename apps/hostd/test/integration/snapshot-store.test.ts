import { createHash, randomBytes } from 'node:crypto';
import {
  appendFile,
  copyFile,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SnapshotManifest, StoredPart } from '../../src/snapshot/manifest.js';
import {
  checkUsedImages,
  consumeSnapshot,
  discardSnapshots,
  readManifest,
  commitSnapshot as renameSnapshot,
  type SnapshotPaths,
  savedParts,
  snapshotPaths,
  stageManifest,
  verifyParts,
  writeParts,
} from '../../src/snapshot/snapshot-store.js';
import type { SavedPart } from '../../src/vmm/vmm.js';
import { givenBack, type KeptPart, keepParts } from '../driver-contract/saved-parts.js';

const key = Buffer.alloc(32, 1);
// A page of text between random pages: compressible, and recognisable if it ever stood on disk.
const needle = Buffer.from('PLAINTEXT-OF-THE-GUEST '.repeat(100));
const image = Buffer.concat([randomBytes(300_000), needle, Buffer.alloc(700_000), randomBytes(100)]);
const saved: KeptPart[] = [
  { name: 'vmstate', bytes: randomBytes(5_000) },
  { name: 'memory', bytes: image },
];

let directory: string;
let paths: SnapshotPaths;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-snapshot-'));
  paths = snapshotPaths(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function* source(parts: readonly KeptPart[] = saved): AsyncGenerator<SavedPart> {
  yield* givenBack(parts);
}

async function* inOrder(parts: readonly SavedPart[]): AsyncGenerator<SavedPart> {
  yield* parts;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const hashes = (parts: readonly KeptPart[]): unknown =>
  parts.map(({ name, bytes }) => ({ name, sha256: sha256(bytes) }));

function manifest(parts: StoredPart[]): SnapshotManifest {
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
    driver_state: { argv: ['-M', 'microvm'] },
    launch: { vmId: 'tn3i5' } as SnapshotManifest['launch'],
    parts,
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
    const parts = await writeParts(paths, source(), options);
    expect(parts.map(({ plain_bytes }) => plain_bytes)).toEqual(saved.map(({ bytes }) => bytes.length));
    expect(await readManifest(paths)).toBeNull();
    await commitSnapshot(paths, manifest(parts));
    const stored = await readFile(join(paths.committed, 'memory'));
    expect(stored.length).toBe(parts[1]?.stored_bytes);
    if (options.compression !== 'none') expect(stored.length).toBeLessThan(image.length * 0.6);
    const isPlain = options.compression === 'none' && options.key === null;
    expect(stored.includes(needle)).toBe(isPlain);
    const read = await readManifest(paths);
    expect(read).toEqual(manifest(parts));
    await verifyParts(paths, manifest(parts));
    const back = savedParts(paths, manifest(parts), { key: options.key, maxFileBytes: 2 ** 30 });
    expect(hashes(await keepParts(inOrder(back)))).toEqual(hashes(saved));
    expect(back.map(({ file }) => file)).toEqual(
      ['vmstate', 'memory'].map((name) => (isPlain ? join(paths.committed, name) : null)),
    );
  });

  it.each(['vmstate', 'memory'])(
    'is refused when a byte of %s changed, or it was cut or grew',
    async (name) => {
      const parts = await writeParts(paths, source(), options);
      await commitSnapshot(paths, manifest(parts));
      const file = join(paths.committed, name);
      const good = await readFile(file);
      const isRefused = (): Promise<void> =>
        expect(verifyParts(paths, manifest(parts))).rejects.toMatchObject({
          reason: 'snapshot.damaged',
          message: expect.stringContaining(`its ${name} `),
        });
      const handle = await open(file, 'r+');
      await handle.write(Buffer.from([(good[good.length >> 1] ?? 0) ^ 1]), 0, 1, good.length >> 1);
      await handle.close();
      await isRefused();
      await writeFile(file, good);
      await verifyParts(paths, manifest(parts));
      await truncate(file, good.length - 1);
      await isRefused();
      await writeFile(file, good);
      await appendFile(file, 'x');
      await isRefused();
      await rm(file);
      await isRefused();
    },
  );
});

describe('snapshot directory', () => {
  it('holds nothing after a source that fails midway, compressed or not', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      async function* bytes(): AsyncGenerator<Buffer> {
        yield image.subarray(0, 200_000);
        throw new Error('the VMM went away');
      }
      async function* broken(): AsyncGenerator<SavedPart> {
        yield* givenBack(saved.slice(0, 1));
        yield { name: 'memory', bytes: bytes() };
      }
      await expect(writeParts(paths, broken(), { compression, key: null })).rejects.toThrow(
        'the VMM went away',
      );
      expect(await readdir(directory)).toEqual([]);
    }
  });

  it('lets go of a reader that stops midway', async () => {
    const large = [{ name: 'memory', bytes: randomBytes(3_000_000) }];
    const parts = await writeParts(paths, source(large), { compression: 'zstd', key: null });
    await commitSnapshot(paths, manifest(parts));
    for await (const piece of savedParts(paths, manifest(parts), { key: null, maxFileBytes: 2 ** 30 })[0]
      ?.bytes ?? []) {
      expect(piece.byteLength).toBeGreaterThan(0);
      break;
    }
  });

  it('is used once', async () => {
    const parts = await writeParts(paths, source(), { compression: 'none', key: null });
    await commitSnapshot(paths, manifest(parts));
    await consumeSnapshot(paths);
    expect(await readManifest(paths)).toBeNull();
    await expect(consumeSnapshot(paths)).rejects.toMatchObject({ code: 'ENOENT' });
    await discardSnapshots(paths, 'all');
    await discardSnapshots(paths, 'all');
    expect(await readdir(directory)).toEqual([]);
  });

  it('refuses a sealed snapshot without its key, and a manifest that is not one', async () => {
    const parts = await writeParts(paths, source(), { compression: 'none', key });
    await commitSnapshot(paths, manifest(parts));
    expect(() => savedParts(paths, manifest(parts), { key: null, maxFileBytes: 2 ** 30 })).toThrowError(
      /no key/,
    );
    await expect(
      keepParts(
        inOrder(savedParts(paths, manifest(parts), { key: Buffer.alloc(32, 2), maxFileBytes: 2 ** 30 })),
      ),
    ).rejects.toMatchObject({
      reason: 'snapshot.unseal_failed',
    });
    await writeFile(join(paths.committed, 'meta.json'), '{"format":2}');
    await expect(readManifest(paths)).rejects.toMatchObject({ reason: 'snapshot.damaged' });
  });

  it('may be in the form that hostd wrote at first', async () => {
    const memory = saved.slice(1);
    const stored = await writeParts(paths, source(memory), { compression: 'none', key: null });
    await commitSnapshot(paths, manifest(stored));
    const { parts, ...rest } = JSON.parse(await readFile(join(paths.committed, 'meta.json'), 'utf8'));
    const { name, checksum, ...part } = parts[0];
    expect([name, checksum.algorithm]).toEqual(['memory', 'gmac']);
    const write = (sum: string): Promise<void> => {
      const first = { ...rest, memory: { ...part, file: 'memory', sha256: sum } };
      return writeFile(join(paths.committed, 'meta.json'), JSON.stringify(first));
    };
    const read = async (): Promise<SnapshotManifest> => (await readManifest(paths)) as SnapshotManifest;
    await write('00'.repeat(32));
    await expect(verifyParts(paths, await read())).rejects.toMatchObject({ reason: 'snapshot.damaged' });
    await write(sha256(image));
    await verifyParts(paths, await read());
    const back = await keepParts(
      inOrder(savedParts(paths, await read(), { key: null, maxFileBytes: 2 ** 30 })),
    );
    expect(hashes(back)).toEqual(hashes(memory));
  });
});

describe('an image that is mapped', () => {
  async function* imageSource(): AsyncGenerator<SavedPart> {
    for (const part of givenBack(saved)) yield part.name === 'memory' ? { ...part, isImage: true } : part;
  }
  const memory = (): string => join(paths.committed, 'memory');
  let parts: StoredPart[];

  beforeEach(async () => {
    parts = await writeParts(paths, imageSource(), { compression: 'none', key: null });
    await commitSnapshot(paths, manifest(parts));
  });

  async function changeByte(path: string): Promise<void> {
    const handle = await open(path, 'r+');
    await handle.write(Buffer.from([(image[1000] ?? 0) ^ 1]), 0, 1, 1000);
    await handle.close();
  }

  /** As if nobody had touched it. */
  async function describeAgain(path: string): Promise<void> {
    const { ino, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    const now = { inode: String(ino), mtime_ns: String(mtimeNs), ctime_ns: String(ctimeNs) };
    parts = parts.map((part) => (part.image === undefined ? part : { ...part, image: now }));
    await writeFile(join(paths.committed, 'meta.json'), JSON.stringify(manifest(parts)));
  }

  const damaged = { reason: 'snapshot.damaged', message: expect.stringContaining('its memory ') };

  it('is a file however large it is, and is described as the file that it is', async () => {
    const entry = await stat(memory(), { bigint: true });
    expect(await readManifest(paths)).toEqual(manifest(parts));
    expect(parts.map((part) => part.image?.inode)).toEqual([undefined, String(entry.ino)]);
    const back = savedParts(paths, manifest(parts), { key: null, maxFileBytes: 0 });
    expect(back.map(({ file }) => file)).toEqual([null, memory()]);
    expect(hashes(await keepParts(inOrder(back)))).toEqual(hashes(saved));
    await verifyParts(paths, manifest(parts));
  });

  it('is read before it is used once anybody has touched it, and refused only when it is another', async () => {
    const kept = join(directory, 'kept');
    await copyFile(memory(), kept);
    await changeByte(memory());
    await expect(verifyParts(paths, manifest(parts))).rejects.toMatchObject(damaged);
    await truncate(memory(), image.length - 1);
    await expect(verifyParts(paths, manifest(parts))).rejects.toMatchObject(damaged);
    await rename(kept, memory());
    await verifyParts(paths, manifest(parts));
  });

  it('is read once it is used, when nobody has', async () => {
    await verifyParts(paths, manifest(parts));
    await consumeSnapshot(paths);
    await checkUsedImages(paths);
    await rename(paths.used, paths.committed);
    await changeByte(memory());
    await describeAgain(memory());
    await verifyParts(paths, manifest(parts));
    await consumeSnapshot(paths);
    await expect(checkUsedImages(paths)).rejects.toMatchObject(damaged);
  });

  it('is not missed where it is discarded, wholly or in part', async () => {
    await checkUsedImages(paths);
    await consumeSnapshot(paths);
    await rm(join(paths.used, 'memory'));
    await checkUsedImages(paths);
    await discardSnapshots(paths, 'used');
    await checkUsedImages(paths);
  });

  it('is none when it is compressed or sealed', async () => {
    for (const options of [
      { compression: 'lz4', key: null },
      { compression: 'none', key },
    ] as const) {
      const stored = await writeParts(paths, imageSource(), options);
      expect(stored.some((part) => part.image !== undefined)).toBe(false);
    }
  });
});
