import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runMvm } from './run-mvm.js';

let dir: string;
let kernel: string;
let rootfs: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), `mvm-cli-images-${process.pid}-`));
  kernel = join(dir, 'vmlinuz');
  rootfs = join(dir, 'rootfs.ext4');
  await writeFile(kernel, Buffer.concat([Buffer.from([0x7f, 0x45, 0x4c, 0x46]), Buffer.alloc(4096)]));
  const ext4 = Buffer.alloc(64 * 1024);
  ext4.writeUInt16LE(0xef53, 1024 + 0x38);
  await writeFile(rootfs, ext4);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const mvm = (...args: string[]) => runMvm(args, { env: { MVM_STATE_DIR: join(dir, 'state') } });

it('adds, lists and removes an image', async () => {
  const added = await mvm(
    'image',
    'add',
    'demo',
    '--kernel',
    kernel,
    '--rootfs',
    rootfs,
    '--kernel-args',
    'quiet',
  );
  expect(added).toMatchObject({ code: 0, stderr: '' });
  expect(added.stdout).toMatch(/^demo added: sha256:[0-9a-f]{64}, 68KiB\n$/);
  const again = await mvm(
    'image',
    'add',
    'demo',
    '--kernel',
    kernel,
    '--rootfs',
    rootfs,
    '--kernel-args',
    'quiet',
    '-o',
    'json',
  );
  expect(JSON.parse(again.stdout)).toMatchObject({ kind: 'Image', name: 'demo', outcome: 'unchanged' });
  expect((await mvm('image', 'list')).stdout).toMatch(
    /^NAME .*\ndemo +sha256:[0-9a-f]{12} +68KiB +\d+s +ok\n$/,
  );
  expect(await mvm('image', 'remove', 'demo')).toMatchObject({ code: 0, stdout: 'demo removed\n' });
  expect(await mvm('image', 'remove', 'demo')).toMatchObject({ code: 3 });
  expect(await readdir(join(dir, 'state', 'images', 'blobs'))).toEqual([]);
});

it('shows with --dry-run what it would do, and leaves the store alone', async () => {
  const files = ['--kernel', kernel, '--rootfs', rootfs];
  const tried = await mvm('image', 'add', 'demo', ...files, '--dry-run');
  expect(tried.code, tried.stderr).toBe(0);
  expect(tried.stdout).toMatch(
    /^STEP +OBJECT +WHAT\nimage.store +sha256:[0-9a-f]{64} .*\nimage.name +demo .*\n$/,
  );
  expect(tried.stderr).toContain('demo would be added; nothing was changed');
  expect(await readdir(dir)).not.toContain('state');
  const planned = JSON.parse((await mvm('image', 'add', 'demo', ...files, '--dry-run', '-o', 'json')).stdout);
  const added = JSON.parse((await mvm('image', 'add', 'demo', ...files, '-o', 'json')).stdout);
  const { digest, size_bytes, outcome } = added;
  expect(planned).toMatchObject({ kind: 'ImagePlanList', items: [{ digest, size_bytes, outcome }] });
  expect((await mvm('image', 'add', 'demo', ...files, '--dry-run')).stderr).toContain(
    'demo would stay as it is',
  );

  await mvm('image', 'add', 'twin', ...files);
  const removal = await mvm('image', 'remove', 'demo', 'twin', '--dry-run', '-o', 'json');
  expect(JSON.parse(removal.stdout)).toMatchObject({
    items: [
      { name: 'demo', deleted: [], steps: [{ kind: 'image.unname' }] },
      { name: 'twin', deleted: [digest], steps: [{ kind: 'image.unname' }, { object: digest }] },
    ],
  });
  expect((await mvm('image', 'list', '-o', 'name')).stdout).toBe('demo\ntwin\n');
  const gone = await mvm('image', 'remove', 'demo', 'twin', '-o', 'json');
  expect(JSON.parse(gone.stdout)).toMatchObject({ items: [{ deleted: [] }, { deleted: [digest] }] });
  expect(await mvm('image', 'remove', 'demo', '--dry-run')).toMatchObject({ code: 3 });
  expect(await mvm('image', 'add', 'x', '--kernel', rootfs, '--rootfs', kernel, '--dry-run')).toMatchObject({
    code: 2,
  });
});

it('refuses what is no image', async () => {
  const swapped = await mvm('image', 'add', 'demo', '--kernel', rootfs, '--rootfs', kernel);
  expect(swapped.code).toBe(2);
  expect(swapped.stderr).toContain('is not a Linux kernel');
  expect(await mvm('image', 'add', '../x', '--kernel', kernel, '--rootfs', rootfs)).toMatchObject({
    code: 2,
  });
  expect(await mvm('image', 'add', 'x', '--kernel', '/nonexistent', '--rootfs', rootfs)).toMatchObject({
    code: 3,
  });
});

it('light 3: an image that a pool uses is not removed, unless it is forced', async () => {
  const own = await mkdtemp(join(tmpdir(), 'mvm-used-'));
  const at = (...args: string[]) => runMvm(args, { env: { MVM_STATE_DIR: own } });
  try {
    const pool = join(own, 'tenants', 'acme', 'pools', 'web');
    await mkdir(pool, { recursive: true });
    await writeFile(join(pool, 'pool.json'), JSON.stringify({ flake_ref: `demo@sha256:${'0'.repeat(64)}` }));
    for (const args of [[], ['--dry-run']]) {
      const refused = await at('image', 'remove', 'demo', ...args);
      expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining('image.in_use') });
      expect(refused.stderr).toContain('acme/web');
    }
    await writeFile(join(pool, 'pool.json'), '{"flake_ref": 1}');
    for (const args of [['remove', 'demo'], ['prune'], ['prune', '--all', '--dry-run']]) {
      const refused = await at('image', ...args);
      expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining('image.users_unknown') });
      expect(refused.stderr).toContain('acme/pools/web/pool.json');
    }
    // It is looked for only then.
    expect(await at('image', 'remove', 'demo', '--force')).toMatchObject({ code: 3 });
    await rm(pool, { recursive: true });
    expect(await at('image', 'remove', 'other')).toMatchObject({ code: 3 });
  } finally {
    await rm(own, { recursive: true });
  }
});
