import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sha256, type TarSpec, writeTar } from '@mvm/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildRootfs, DEFAULT_LIMITS } from '../../src/index.js';
import { layerFiles } from '../layer-files.js';

// Layers made to harm. Each ends in an error that says what is wrong, and nothing is written beside the one file.

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-hostile-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const MIB = 2 ** 20;
const LIMITS = {
  ...DEFAULT_LIMITS,
  maxBytes: 8 * MIB,
  maxFileBytes: 64 * MIB,
  maxEntries: 1000,
  maxDepth: 30,
  maxLayers: 5,
  maxHeaderBytes: 200_000,
  maxXattrBytes: 70_000,
};

async function build(archives: readonly Buffer[], over: Parameters<typeof layerFiles>[3] = {}) {
  const layers = await layerFiles(dir, archives, 'none', over);
  return buildRootfs({ layers, outputPath: join(dir, 'out'), uuid: '00'.repeat(16), limits: LIMITS });
}
const refused = (reason: string, message: string) => ({
  code: 'invalid_argument',
  reason,
  message: expect.stringContaining(message),
});
const one = (...entries: TarSpec[]): Buffer[] => [writeTar(entries)];
const sparse = (size: number, segments: { offset: number; data: Buffer }[]): TarSpec => ({
  name: 's',
  sparse: { format: 'pax-1.0', size, segments },
});

it.each<[string, Buffer[], string]>([
  ['a name that leads outside', one({ name: '../../etc/cron.d/x', data: 'x' }), 'leads out'],
  ['a name that leads outside in the middle', one({ name: 'a/../../x', data: 'x' }), 'leads out'],
  ['a link to outside', one({ name: 'x', type: 'hardlink', linkName: '../../etc/shadow' }), 'leads out'],
  ['a hard link to nothing', one({ name: 'x', type: 'hardlink', linkName: '/etc/shadow' }), 'not there'],
  ['a hard link to itself', one({ name: 'x', type: 'hardlink', linkName: 'x' }), 'not there'],
  [
    'a hard link to a directory',
    one({ name: 'd', type: 'directory' }, { name: 'x', type: 'hardlink', linkName: 'd' }),
    'directory',
  ],
  [
    'links in a circle',
    one(
      { name: 'a', type: 'symlink', linkName: 'b' },
      { name: 'b', type: 'symlink', linkName: 'a' },
      { name: 'a/x' },
    ),
    'too many symbolic links',
  ],
  ['an entry below a file', one({ name: 'f', data: 'x' }, { name: 'f/x', data: 'x' }), 'no directory'],
  ['a whiteout of nothing', one({ name: '.wh.' }), 'whiteout'],
  ['a whiteout of the directory above', one({ name: 'd/.wh...' }), 'whiteout'],
  ['a root that is a file', one({ name: './', pax: [['path', '.']], data: 'x' }), 'root'],
  ['a name with a zero byte', one({ name: 'x', pax: [['path', 'a\0b']] }), 'zero byte'],
  ['a name that is too long', one({ name: 'n'.repeat(256) }), '255 bytes'],
  ['a link that leads nowhere', one({ name: 'x', type: 'symlink', linkName: '' }), 'leads nowhere'],
  [
    'a sparse map out of order',
    one(
      sparse(8192, [
        { offset: 4096, data: Buffer.alloc(10) },
        { offset: 0, data: Buffer.alloc(10) },
      ]),
    ),
    'not in order',
  ],
  [
    'a sparse map beyond the file',
    one(sparse(4096, [{ offset: 4000, data: Buffer.alloc(512) }])),
    'not in order',
  ],
  ['an owner out of range', one({ name: 'x', pax: [['uid', '4294967295']] }), 'out of range'],
  ['a time that is none', one({ name: 'x', pax: [['mtime', 'NaN']] }), 'time'],
  [
    'a malformed extended header',
    one({ name: 'x', pax: [['bad\nkey', 'x']] }).map((tar) =>
      Buffer.from(tar.toString('latin1').replace(/\d+ bad/, '99 bad'), 'latin1'),
    ),
    'malformed',
  ],
  ['no archive at all', [Buffer.alloc(2048, 'not a tar ')], 'no tar archive'],
  [
    'an archive that is cut short',
    [writeTar([{ name: 'x', data: Buffer.alloc(5000) }]).subarray(0, 2000)],
    'cut short',
  ],
  ['a size that lies', one({ name: 'x', data: 'abc', claimedSize: 1_000_000 }), 'cut short'],
])('refuses %s', async (_what, archives, message) => {
  await expect(build(archives)).rejects.toMatchObject(refused('image.bad_layer', message));
});

it.each<[string, () => Buffer[], string]>([
  ['too many bytes', () => one({ name: 'x', data: Buffer.alloc(9 * MIB) }), 'bytes'],
  [
    'too many bytes in several layers',
    () => [1, 2, 3].map((n) => writeTar([{ name: `x${n}`, data: Buffer.alloc(3 * MIB) }])),
    'bytes',
  ],
  ['a claim of too many bytes', () => one({ name: 'x', claimedSize: 7 * 2 ** 30 }), 'bytes'],
  ['a sparse file of too many bytes', () => one(sparse(2 ** 40, [])), 'apparent'],
  [
    'a sparse file whose pieces take too many bytes',
    () =>
      one(
        sparse(
          60 * MIB,
          Array.from({ length: 4000 }, (_, n) => ({ offset: n * 8192, data: Buffer.from('x') })),
        ),
      ),
    'bytes',
  ],
  ['too many entries', () => one(...Array.from({ length: 1001 }, (_, n) => ({ name: `${n}` }))), 'entries'],
  ['directories that are too deep', () => one({ name: 'd/'.repeat(31), type: 'directory' }), 'depth'],
  [
    'directories that are too deep by links',
    () =>
      one(
        { name: `${'d/'.repeat(25)}l`, type: 'symlink', linkName: 'e/'.repeat(10) },
        { name: `${'d/'.repeat(25)}l/x/y` },
      ),
    'depth',
  ],
  ['a header that is too long', () => one({ name: 'x', pax: [['comment', 'c'.repeat(200_001)]] }), 'headers'],
  [
    'attributes that are too long',
    () => one({ name: 'x', xattrs: { 'user.a': 'x'.repeat(40_000), 'user.b': 'x'.repeat(40_000) } }),
    'attributes',
  ],
  ['too many layers', () => Array.from({ length: 6 }, () => writeTar([])), 'layers'],
])('refuses %s', async (_what, archives, message) => {
  await expect(build(archives())).rejects.toMatchObject(refused('image.limit_exceeded', message));
  expect((await readdir(dir)).filter((name) => name !== 'out' && !name.startsWith('layer-'))).toEqual([]);
});

it('refuses a bomb of compression without unpacking more than the limit', async () => {
  const archive = writeTar([{ name: 'x', data: Buffer.alloc(64 * MIB) }]);
  const [layer] = await layerFiles(dir, [archive], 'gzip');
  if (layer === undefined) throw new Error('no layer');
  expect(layer.sizeBytes).toBeLessThan(MIB / 10);
  const outputPath = join(dir, 'out');
  await expect(
    buildRootfs({ layers: [layer], outputPath, uuid: '00'.repeat(16), limits: LIMITS }),
  ).rejects.toMatchObject(refused('image.limit_exceeded', 'bytes'));
});

it.each([
  ['another digest', { digest: `sha256:${'0'.repeat(64)}` }, 'image.bad_digest'],
  ['another digest of the archive', { diffId: `sha256:${'0'.repeat(64)}` }, 'image.bad_digest'],
  ['a larger size', { sizeBytes: 1_000_000 }, 'image.bad_layer'],
  ['a smaller size', { sizeBytes: 512 }, 'image.bad_layer'],
  ['another packing', { compression: 'gzip' as const }, 'image.bad_layer'],
  ['another packing, zstd', { compression: 'zstd' as const }, 'image.bad_layer'],
])('refuses a layer of which the manifest claims %s', async (_what, over, reason) => {
  await expect(build(one({ name: 'x', data: 'x' }), over)).rejects.toMatchObject({
    code: 'invalid_argument',
    reason,
  });
});

it('takes packed data apart that comes in several members, and refuses one that is cut short', async () => {
  const archive = writeTar([{ name: 'x', data: Buffer.alloc(100_000, 'x') }]);
  const members = Buffer.concat([gzipSync(archive.subarray(0, 60_000)), gzipSync(archive.subarray(60_000))]);
  const path = join(dir, 'members');
  const layer = { path, compression: 'gzip' as const, diffId: `sha256:${sha256(archive)}` };
  const run = async (packed: Buffer, name: string) => {
    await writeFile(path, packed);
    return buildRootfs({
      layers: [{ ...layer, digest: `sha256:${sha256(packed)}`, sizeBytes: packed.length }],
      outputPath: join(dir, name),
      uuid: '00'.repeat(16),
      limits: LIMITS,
    });
  };
  expect(await run(members, 'whole')).toMatchObject({ inodes: 2 });
  await expect(run(members.subarray(0, -5), 'cut')).rejects.toMatchObject({ reason: 'image.bad_layer' });
});

it('absolute names, empty layers and archives without an end are taken', async () => {
  const archive = writeTar([{ name: '/abs/x', data: 'x' }]).subarray(0, 1024);
  expect(await build([Buffer.alloc(0), writeTar([]), archive])).toMatchObject({ inodes: 3 });
});

/** Ends right after the last file's content, as umoci insert writes it: no padding, no end marker. */
const unpadded = () => writeTar([{ name: 'y', data: 'content' }]).subarray(0, 512 + 7);

it('an archive that ends with its last file is taken', async () => {
  expect(await build([unpadded()])).toMatchObject({ inodes: 2 });
});

it('an archive that ends within its last file is refused', async () => {
  await expect(build([unpadded().subarray(0, -1)])).rejects.toMatchObject(
    refused('image.bad_layer', 'cut short'),
  );
});

it('an import that is given up leaves no process behind', async () => {
  const layers = await layerFiles(dir, [writeTar([{ name: 'x', data: Buffer.alloc(6 * MIB) }])], 'gzip');
  const controller = new AbortController();
  const building = buildRootfs({
    layers,
    outputPath: join(dir, 'out'),
    uuid: '00'.repeat(16),
    limits: LIMITS,
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(), 150);
  await expect(building).rejects.toMatchObject({ name: 'AbortError' });
});
