import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { addImage, listImages, resolveImage, verifyImage } from '../../src/index.js';
import { bzImage, createFixture } from '../integration/fixtures.js';

const run = promisify(execFile);

it('a full disk is resource_exhausted, the store stays as it was and nothing is left behind', async () => {
  const fixture = await createFixture();
  const disk = join(fixture.dir, 'disk');
  await mkdir(disk);
  // PRIVILEGE: mounting needs root; SAFETY: the whole test runs in a mount namespace of its own.
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
  try {
    const root = join(disk, 'images');
    const request = { name: 'demo', kernel: fixture.kernel, rootfs: fixture.rootfs, kernelArgs: '' };
    const { digest } = await addImage(root, request);
    const big = join(fixture.dir, 'big');
    await writeFile(big, Buffer.concat([bzImage('big'), randomBytes(3 * 1024 * 1024)]));
    await expect(addImage(root, { ...request, kernel: big })).rejects.toMatchObject({
      code: 'resource_exhausted',
      reason: 'image.no_space',
      hint: expect.stringContaining('free some space'),
    });
    expect(await readdir(join(root, 'tmp'))).toEqual([]);
    expect(await readdir(join(root, 'blobs'))).toEqual([digest.slice('sha256:'.length)]);
    expect((await listImages(root)).map((image) => image.problem)).toEqual(['']);
    expect((await resolveImage(root, 'demo')).digest).toBe(digest);
    await verifyImage(root, 'demo');
  } finally {
    await run('umount', [disk]);
    await fixture.remove();
  }
});
