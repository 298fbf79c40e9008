import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildConfigDrive } from '../../src/disk/config-drive.js';
import { ensureDataDisk } from '../../src/disk/data-disk.js';

// A real file system of a few MiB, mounted in this run's own mount namespace.
let directory: string;
let volume: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-full-'));
  volume = join(directory, 'volume');
  await mkdir(volume);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', volume]);
});
afterEach(async () => {
  execFileSync('umount', [volume]);
  await rm(directory, { recursive: true });
});

async function fill(): Promise<void> {
  await writeFile(join(volume, 'filler'), Buffer.alloc(8 * 1_048_576)).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOSPC') throw error;
    },
  );
}

describe('on a full disk', () => {
  const config = { tenant_id: 'acme', net: { address: '10.240.3.3/24' } };

  it('the config drive stays the old one, and nothing else is left', async () => {
    const path = join(volume, 'config.ext4');
    await buildConfigDrive({ path, config });
    const before = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    await fill();
    await expect(buildConfigDrive({ path, config: { ...config, tenant_id: 'other' } })).rejects.toMatchObject(
      {
        code: 'resource_exhausted',
        hint: expect.any(String),
      },
    );
    expect(
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    ).toBe(before);
    expect((await readdir(volume)).sort()).toEqual(['config.ext4', 'filler']);
  });

  it('no half of a data disk is left, and it is made once there is space', async () => {
    const path = join(volume, 'data.ext4');
    await fill();
    await expect(ensureDataDisk({ path, sizeMib: 64 })).rejects.toMatchObject({
      code: 'resource_exhausted',
      hint: expect.any(String),
    });
    expect(await readdir(volume)).toEqual(['filler']);
    await rm(join(volume, 'filler'));
    await ensureDataDisk({ path, sizeMib: 16 });
    expect(await readdir(volume)).toEqual(['data.ext4']);
  });
});
