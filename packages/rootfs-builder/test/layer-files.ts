import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sha256 } from '@mvm/testkit';
import type { Compression, LayerFile } from '../src/index.js';

/** Writes archives as layers into a directory; `over` changes what is claimed of the last one. */
export async function layerFiles(
  directory: string,
  archives: readonly Buffer[],
  compression: Compression = 'none',
  over: Partial<LayerFile> = {},
): Promise<LayerFile[]> {
  return Promise.all(
    archives.map(async (archive, index) => {
      const path = join(directory, `layer-${index}`);
      const packed = pack(archive, compression);
      await writeFile(path, packed);
      return {
        path,
        compression,
        digest: `sha256:${sha256(packed)}`,
        sizeBytes: packed.length,
        diffId: `sha256:${sha256(archive)}`,
        ...(index === archives.length - 1 ? over : {}),
      };
    }),
  );
}

function pack(archive: Buffer, compression: Compression): Buffer {
  if (compression === 'none') return archive;
  if (compression === 'gzip') return gzipSync(archive);
  return spawnSync('zstd', ['-q', '-c'], { input: archive, maxBuffer: 2 ** 30 }).stdout;
}
