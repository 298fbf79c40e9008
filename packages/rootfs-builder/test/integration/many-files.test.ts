import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TarSpec, writeTar } from '@mvm/testkit';
import { expect, it } from 'vitest';
import { buildRootfs, DEFAULT_LIMITS } from '../../src/index.js';
import { layerFiles } from '../layer-files.js';

const COUNT = 100_000;
const name = (at: number): string => `many/file-${String(at).padStart(6, '0')}`;

it('builds a layer of 100,000 files in one directory, of which a later layer removes one', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-many-'));
  try {
    const files = Array.from(
      { length: COUNT },
      (_, at): TarSpec => ({ name: name(at), ...(at % 1000 === 0 ? { data: `content of ${at}` } : {}) }),
    );
    const outputPath = join(dir, 'out');
    const layers = await layerFiles(
      dir,
      [
        writeTar([{ name: 'many/', type: 'directory' }, ...files]),
        writeTar([{ name: 'many/.wh.file-050000' }]),
      ],
      'gzip',
    );
    const built = await buildRootfs({ layers, outputPath, uuid: '00'.repeat(16), limits: DEFAULT_LIMITS });
    // The root, the directory, and all files but one.
    expect(built.inodes).toBe(COUNT + 1);
    execFileSync('fsck.erofs', [outputPath], { stdio: 'pipe' });
    const look = (at: number): string =>
      execFileSync('dump.erofs', [`--path=/${name(at)}`, outputPath], { encoding: 'utf8', stdio: 'pipe' });
    expect(look(99_000)).toMatch(/^Size: 16 /m);
    expect(look(COUNT - 1)).toMatch(/^Size: 0 /m);
    expect(look(50_000)).not.toMatch(/^Size:/m);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}, 120_000);
