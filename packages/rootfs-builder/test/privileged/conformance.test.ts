import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  corpusLayers,
  differences,
  LAYER_CASES,
  type ListedEntry,
  listTreeProgram,
  parseListing,
  sha256,
  writeTar,
} from '@mvm/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildRootfs, type Compression } from '../../src/index.js';
import { layerFiles } from '../layer-files.js';

// The corpus, built by the sandboxed worker and read by the kernel's own EROFS driver.

let dir: string;
const listed = new Map<string, ListedEntry>();
const digests: string[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-rootfs-'));
  for (const compression of ['none', 'gzip', 'zstd'] as const) digests.push(await build(compression));
  const mounted = join(dir, 'mounted');
  await mkdir(mounted);
  execFileSync('mount', ['-t', 'erofs', '-o', 'loop,ro', join(dir, 'none.erofs'), mounted]);
  try {
    const options = { maxBuffer: 2 ** 26, encoding: 'utf8' } as const;
    for (const entry of parseListing(execFileSync(listTreeProgram(), [join(mounted, 'c')], options)) ?? []) {
      listed.set(entry.path, entry);
    }
  } finally {
    execFileSync('umount', [mounted]);
  }
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function build(compression: Compression): Promise<string> {
  const layers = await layerFiles(dir, corpusLayers('c').map(writeTar), compression);
  const outputPath = join(dir, `${compression}.erofs`);
  await buildRootfs({ layers, outputPath, uuid: '00'.repeat(16) });
  return sha256(await readFile(outputPath));
}

it.each(LAYER_CASES.map(({ name, expected }, number) => [name, number, expected] as const))(
  '%s',
  (_name, number, expected) => {
    const prefix = `${number}/`;
    const own = [...listed.keys()]
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length));
    expect(own.sort()).toEqual(Object.keys(expected).sort());
    for (const [path, wanted] of Object.entries(expected)) {
      const entry = listed.get(prefix + path);
      if (entry === undefined) throw new Error(path);
      expect(
        differences(entry, wanted, (other) => listed.get(prefix + other)),
        path,
      ).toEqual([]);
    }
  },
);

it('gives the same file however the layers are packed, and however often', async () => {
  await rm(join(dir, 'none.erofs'));
  digests.push(await build('none'));
  expect(new Set(digests).size).toBe(1);
});

it('is sound to the file system’s own checker', () => {
  expect(() => execFileSync('fsck.erofs', [join(dir, 'gzip.erofs')], { stdio: 'pipe' })).not.toThrow();
});
