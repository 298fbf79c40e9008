import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFile,
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addImage,
  listImages,
  planAddImage,
  planRemoveImages,
  pruneImages,
  removeImage,
  resolveImage,
  verifyImage,
} from '../../src/index.js';
import { bzImage, createFixture, type Fixture } from './fixtures.js';

const run = promisify(execFile);
let fixture: Fixture;

beforeEach(async () => {
  fixture = await createFixture();
});
afterEach(() => fixture.remove());

function request(overrides: Partial<Parameters<typeof addImage>[1]> = {}) {
  const { kernel, initrd, rootfs } = fixture;
  return { name: 'demo', kernel, initrd, rootfs, kernelArgs: 'console=ttyS0', ...overrides };
}

const litter = async () => readdir(join(fixture.root, 'tmp'));
const blobs = async () => readdir(join(fixture.root, 'blobs'));

describe('addImage', () => {
  it('stores the files byte for byte under the digest of their manifest', async () => {
    const added = await addImage(fixture.root, request());
    expect(added.outcome).toBe('added');
    const image = await resolveImage(fixture.root, 'demo');
    expect(image.digest).toBe(added.digest);
    expect(await readFile(image.kernelPath)).toEqual(await readFile(fixture.kernel));
    expect(await readFile(image.initrdPath ?? '')).toEqual(await readFile(fixture.initrd));
    expect(await readFile(image.rootfsPath)).toEqual(await readFile(fixture.rootfs));
    expect(image.kernelArgs).toBe('console=ttyS0');
    const manifest = await readFile(join(image.dir, 'manifest.json'));
    expect(`sha256:${createHash('sha256').update(manifest).digest('hex')}`).toBe(added.digest);
    expect((await stat(image.rootfsPath)).mode & 0o777).toBe(0o444);
    expect(await litter()).toEqual([]);
    await verifyImage(fixture.root, 'demo');
  });

  it('keeps holes', async () => {
    await truncate(fixture.rootfs, 64 * 1024 * 1024);
    await addImage(fixture.root, request());
    const image = await resolveImage(fixture.root, 'demo');
    const stored = await stat(image.rootfsPath);
    expect(stored.size).toBe(64 * 1024 * 1024);
    expect(stored.blocks * 512).toBeLessThan(8 * 1024 * 1024);
    await verifyImage(fixture.root, 'demo');
  });

  it('changes nothing when repeated', async () => {
    const first = await addImage(fixture.root, request());
    const record = await readFile(join(fixture.root, 'names', 'demo.json'), 'utf8');
    const second = await addImage(fixture.root, request());
    expect(second).toEqual({ ...first, outcome: 'unchanged' });
    expect(await readFile(join(fixture.root, 'names', 'demo.json'), 'utf8')).toBe(record);
  });

  it('stores the same content once under two names, and works without an initrd', async () => {
    await addImage(fixture.root, request({ initrd: undefined }));
    await addImage(fixture.root, request({ initrd: undefined, name: 'other' }));
    expect(await blobs()).toHaveLength(1);
    expect((await resolveImage(fixture.root, 'other')).initrdPath).toBeNull();
  });

  it('keeps the version that a name had before for those who pin it', async () => {
    const first = await addImage(fixture.root, request());
    await writeFile(fixture.kernel, bzImage('two'));
    const second = await addImage(fixture.root, request());
    expect(second.outcome).toBe('replaced');
    expect((await resolveImage(fixture.root, 'demo')).digest).toBe(second.digest);
    expect((await resolveImage(fixture.root, `demo@${first.digest}`)).digest).toBe(first.digest);
    await removeImage(fixture.root, 'demo');
    expect(await blobs()).toEqual([]);
  });

  it('reports progress up to the total', async () => {
    const seen: number[] = [];
    let total = 0;
    await addImage(fixture.root, request(), {
      onProgress: (progress) => {
        seen.push(progress.copiedBytes);
        total = progress.totalBytes;
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
    expect(total).toBe((await listImages(fixture.root))[0]?.size_bytes);
  });

  it('repairs a damaged image', async () => {
    await addImage(fixture.root, request());
    const { rootfsPath } = await resolveImage(fixture.root, 'demo');
    await appendFile(rootfsPath, 'x');
    expect((await addImage(fixture.root, request())).outcome).toBe('repaired');
    await verifyImage(fixture.root, 'demo');
    expect(await litter()).toEqual([]);
  });

  it('survives many adds and removals at once', async () => {
    const jobs = Array.from({ length: 24 }, (_, index) =>
      index % 3 === 2
        ? removeImage(fixture.root, 'demo').catch((error: { reason?: string }) => {
            expect(error.reason).toBe('image.not_found');
          })
        : addImage(fixture.root, request({ name: index % 3 === 0 ? 'demo' : `name-${index}` })),
    );
    await Promise.all(jobs);
    for (const image of await listImages(fixture.root)) expect(image.problem).toBe('');
    await addImage(fixture.root, request());
    await verifyImage(fixture.root, 'demo');
    expect(await blobs()).toHaveLength(1);
    expect(await litter()).toEqual([]);
  });

  it('keeps every version of a name when several are added at once', async () => {
    const kernels = ['two', 'three', 'four'].map((marker) => ({
      marker,
      kernel: `${fixture.kernel}-${marker}`,
    }));
    for (const { marker, kernel } of kernels) await writeFile(kernel, bzImage(marker));
    const first = await addImage(fixture.root, request());
    const others = await Promise.all(
      kernels.map(({ kernel }) => addImage(fixture.root, request({ kernel }))),
    );
    const record = JSON.parse(await readFile(join(fixture.root, 'names/demo.json'), 'utf8'));
    expect([record.digest, ...record.previous].sort()).toEqual(
      [first, ...others].map(({ digest }) => digest).sort(),
    );
  });

  it('survives prunes and removals at once', async () => {
    const names = Array.from({ length: 6 }, (_, index) => `name-${index}`);
    for (const name of names) await addImage(fixture.root, request({ name }));
    const options = { keepDigests: new Set<string>(), keepNames: new Set<string>(), dryRun: false };
    const pruned = await Promise.all([1, 2, 3].map(() => pruneImages(fixture.root, options)));
    expect(pruned.flatMap((each) => each.names).sort()).toEqual(names);
    expect(pruned.flatMap(({ deleted }) => deleted)).toHaveLength(1);
    expect(await blobs()).toEqual([]);
    expect(await litter()).toEqual([]);
  });

  it('sweeps what a killed add left, and nothing of a living one', async () => {
    await addImage(fixture.root, request());
    const mine = (await readFile('/proc/self/stat', 'latin1')).split(') ')[1]?.split(' ')[19];
    await mkdir(join(fixture.root, 'tmp', '4194303.1.aa', 'blob'), { recursive: true });
    await mkdir(join(fixture.root, 'tmp', `${process.pid}.1.bb`));
    await mkdir(join(fixture.root, 'tmp', `${process.pid}.${mine}.cc`));
    await addImage(fixture.root, request());
    expect(await litter()).toEqual([`${process.pid}.${mine}.cc`]);
  });

  it('is cancelled by its signal without a trace', async () => {
    const controller = new AbortController();
    const adding = addImage(fixture.root, request(), {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(adding).rejects.toMatchObject({ code: 'canceled', reason: 'image.canceled' });
    expect(await listImages(fixture.root)).toEqual([]);
    expect(await litter()).toEqual([]);
    expect(await blobs()).toEqual([]);
  });
});

describe('plans', () => {
  /** Every entry of the store with its size and time. */
  async function store(): Promise<string[]> {
    const entries = await readdir(fixture.root, { recursive: true }).catch(() => []);
    const lines = entries.map(async (entry) => {
      const { size, mtimeMs } = await stat(join(fixture.root, entry));
      return `${entry} ${size} ${mtimeMs}`;
    });
    return (await Promise.all(lines)).sort();
  }

  async function planThenAdd(overrides: Parameters<typeof request>[0] = {}): Promise<string> {
    const before = await store();
    const planned = await planAddImage(fixture.root, request(overrides));
    expect(await store()).toEqual(before);
    expect(await addImage(fixture.root, request(overrides))).toEqual(planned);
    return planned.outcome;
  }

  it('of an add tell its outcome and write nothing', async () => {
    expect(await planThenAdd()).toBe('added');
    expect(await planThenAdd()).toBe('unchanged');
    await writeFile(fixture.kernel, bzImage('two'));
    expect(await planThenAdd()).toBe('replaced');
    expect(await planThenAdd({ name: 'other' })).toBe('added');
    const { kernelPath } = await resolveImage(fixture.root, 'demo');
    await rm(kernelPath);
    await writeFile(kernelPath, bzImage('three'));
    expect(await planThenAdd()).toBe('repaired');
  });

  it('of a removal tell which files go with the last name', async () => {
    await addImage(fixture.root, request());
    await addImage(fixture.root, request({ name: 'twin' }));
    await writeFile(fixture.kernel, bzImage('two'));
    await addImage(fixture.root, request({ name: 'twin' }));
    const before = await store();
    const planned = await planRemoveImages(fixture.root, ['twin', 'demo']);
    expect(await store()).toEqual(before);
    expect(planned.map(({ deleted }) => deleted.length)).toEqual([1, 1]);
    const removed = [await removeImage(fixture.root, 'twin'), await removeImage(fixture.root, 'demo')];
    expect(removed).toEqual(planned);
    await expect(planRemoveImages(fixture.root, ['demo'])).rejects.toMatchObject({
      reason: 'image.not_found',
    });
  });

  it('are refused as the real thing', async () => {
    for (const overrides of [
      { name: '../x' },
      { kernel: fixture.rootfs },
      { rootfs: join(fixture.dir, 'nosuch') },
      { kernelArgs: '\n' },
    ]) {
      const refusal = await addImage(fixture.root, request(overrides)).catch((error: unknown) => error);
      await expect(planAddImage(fixture.root, request(overrides))).rejects.toEqual(refusal);
    }
  });
});

describe('what addImage refuses', () => {
  const bad: [string, () => Promise<Partial<Parameters<typeof addImage>[1]>>, string, string][] = [
    ['a name with a slash', async () => ({ name: '../x' }), 'invalid_argument', 'image.invalid_name'],
    ['an empty name', async () => ({ name: '' }), 'invalid_argument', 'image.invalid_name'],
    [
      'a name of 64 characters',
      async () => ({ name: 'a'.repeat(64) }),
      'invalid_argument',
      'image.invalid_name',
    ],
    [
      'a line break in the arguments',
      async () => ({ kernelArgs: 'a\nb' }),
      'invalid_argument',
      'image.invalid_kernel_args',
    ],
    [
      'a file that is not there',
      async () => ({ kernel: '/nonexistent/vmlinuz' }),
      'not_found',
      'image.file_not_found',
    ],
    ['a directory', async () => ({ rootfs: fixture.dir }), 'invalid_argument', 'image.bad_file'],
    [
      'a symbolic link',
      async () => {
        await symlink(fixture.kernel, join(fixture.dir, 'link'));
        return { kernel: join(fixture.dir, 'link') };
      },
      'invalid_argument',
      'image.bad_file',
    ],
    [
      'a named pipe',
      async () => {
        await run('mkfifo', [join(fixture.dir, 'pipe')]);
        return { rootfs: join(fixture.dir, 'pipe') };
      },
      'invalid_argument',
      'image.bad_file',
    ],
    ['a device', async () => ({ rootfs: '/dev/zero' }), 'invalid_argument', 'image.bad_file'],
    [
      'a root file system as kernel',
      async () => ({ kernel: fixture.rootfs }),
      'invalid_argument',
      'image.wrong_format',
    ],
    [
      'a kernel as root file system',
      async () => ({ rootfs: fixture.kernel }),
      'invalid_argument',
      'image.wrong_format',
    ],
    [
      'a kernel as initrd',
      async () => ({ initrd: fixture.kernel }),
      'invalid_argument',
      'image.wrong_format',
    ],
    [
      'an ext4 image that is cut short',
      async () => {
        await truncate(fixture.rootfs, 2 * 1024 * 1024);
        return {};
      },
      'invalid_argument',
      'image.wrong_format',
    ],
    [
      'an empty file',
      async () => {
        await truncate(fixture.kernel, 0);
        return {};
      },
      'invalid_argument',
      'image.wrong_format',
    ],
  ];
  it.each(bad)('%s', async (_what, overrides, code, reason) => {
    const error: unknown = await addImage(fixture.root, request(await overrides())).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code, reason, hint: expect.stringMatching(/./) });
    expect(await listImages(fixture.root)).toEqual([]);
    expect(await blobs().catch(() => [])).toEqual([]);
    expect(await litter().catch(() => [])).toEqual([]);
  });
});

describe('resolveImage', () => {
  it('knows no image in an absent store', async () => {
    await expect(resolveImage(join(fixture.dir, 'nowhere'), 'demo')).rejects.toMatchObject({
      code: 'not_found',
      reason: 'image.not_found',
      hint: expect.stringContaining('mvm image import <source> --name demo'),
    });
    expect(await listImages(join(fixture.dir, 'nowhere'))).toEqual([]);
  });

  it('refuses a digest that is not registered', async () => {
    const { digest } = await addImage(fixture.root, request());
    const other = `sha256:${'0'.repeat(64)}`;
    await expect(resolveImage(fixture.root, `demo@${other}`)).rejects.toMatchObject({
      code: 'failed_precondition',
      reason: 'image.digest_mismatch',
      details: { wanted: other, registered: digest },
    });
    await expect(resolveImage(fixture.root, 'demo@sha256:xyz')).rejects.toMatchObject({
      reason: 'image.invalid_digest',
    });
  });

  it.each(['kernel', 'initrd', 'rootfs'] as const)(
    'finds changed, missing and shortened files (%s)',
    async (part) => {
      await addImage(fixture.root, request());
      const image = await resolveImage(fixture.root, 'demo');
      const path = { kernel: image.kernelPath, initrd: image.initrdPath ?? '', rootfs: image.rootfsPath }[
        part
      ];
      const flip = await open(path, 'r+');
      await flip.write(Buffer.from([0xa5]), 0, 1, 1900);
      await flip.close();
      await expect(resolveImage(fixture.root, 'demo')).rejects.toMatchObject({ reason: 'image.damaged' });
      await truncate(path, 100);
      await expect(resolveImage(fixture.root, 'demo')).rejects.toMatchObject({
        message: expect.stringContaining('100 bytes'),
      });
      await rm(path);
      await expect(resolveImage(fixture.root, 'demo')).rejects.toMatchObject({
        message: expect.stringContaining('is missing'),
      });
      expect((await listImages(fixture.root))[0]?.problem).toContain('is missing');
    },
  );

  it('accepts files whose time changed but whose content did not, as after restoring a backup', async () => {
    await addImage(fixture.root, request());
    const { rootfsPath } = await resolveImage(fixture.root, 'demo');
    await utimes(rootfsPath, 5, 5);
    await resolveImage(fixture.root, 'demo');
    await resolveImage(fixture.root, 'demo');
    // What was hashed is believed only as long as the inode is unchanged.
    const bytes = await readFile(rootfsPath);
    bytes[0] = 1 + (bytes[0] ?? 0);
    await chmod(rootfsPath, 0o644);
    await writeFile(rootfsPath, bytes);
    await utimes(rootfsPath, 5, 5);
    await expect(resolveImage(fixture.root, 'demo')).rejects.toMatchObject({ reason: 'image.damaged' });
  });

  it('is not fooled by a time set back, when it hashes', async () => {
    await addImage(fixture.root, request());
    const { kernelPath } = await resolveImage(fixture.root, 'demo');
    const before = await stat(kernelPath);
    await writeFile(kernelPath, bzImage('evil'));
    await utimes(kernelPath, before.atime, before.mtime);
    await expect(verifyImage(fixture.root, 'demo')).rejects.toMatchObject({ reason: 'image.damaged' });
  });

  it('notices a forged manifest and a damaged name record', async () => {
    await addImage(fixture.root, request());
    const { dir } = await resolveImage(fixture.root, 'demo');
    await rm(join(dir, 'manifest.json'));
    await writeFile(join(dir, 'manifest.json'), '{}');
    await expect(resolveImage(fixture.root, 'demo')).rejects.toMatchObject({ reason: 'image.damaged' });
    await rm(join(fixture.root, 'names', 'demo.json'));
    await writeFile(join(fixture.root, 'names', 'demo.json'), '{"name":');
    expect((await listImages(fixture.root))[0]?.problem).toBe('its record is damaged');
    expect((await addImage(fixture.root, request())).outcome).toBe('added');
    await verifyImage(fixture.root, 'demo');
  });
});

describe('removeImage', () => {
  it('removes the files with the last name that refers to them', async () => {
    const { digest } = await addImage(fixture.root, request());
    await addImage(fixture.root, request({ name: 'other' }));
    expect(await removeImage(fixture.root, 'demo')).toEqual({ name: 'demo', deleted: [] });
    await verifyImage(fixture.root, 'other');
    expect(await removeImage(fixture.root, 'other')).toEqual({ name: 'other', deleted: [digest] });
    expect(await blobs()).toEqual([]);
    expect(await litter()).toEqual([]);
  });

  it('says so when there is no such image', async () => {
    await expect(removeImage(fixture.root, 'demo')).rejects.toMatchObject({ reason: 'image.not_found' });
    await expect(removeImage(fixture.root, '..')).rejects.toMatchObject({ reason: 'image.invalid_name' });
  });
});
