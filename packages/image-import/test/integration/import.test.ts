import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { addKernel, BOOT_MODULES, kernelsDir } from '@mvm/guest-boot';
import { imagesDir, resolveImage } from '@mvm/image-store';
import { type OciImageSpec, sha256, type TarSpec, writeOciLayout, writeTar } from '@mvm/testkit';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type ImportProgress, importImage } from '../../src/index.js';

// Images made here from nothing, imported into a store of the test's own, with a kernel that only looks like one.

let dir: string;
let dirs: { images: string; kernels: string };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-import-'));
  dirs = { images: imagesDir(dir), kernels: kernelsDir(dir) };
  await mkdir(join(dir, 'modules'));
  for (const name of BOOT_MODULES)
    await writeFile(join(dir, 'modules', `${name}.ko`), 'license=GPL\0depends=\0');
  await addFakeKernel('one');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function addFakeKernel(name: string): Promise<void> {
  const vmlinux = join(dir, 'vmlinux');
  await writeFile(vmlinux, Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(4096, name)]));
  await addKernel(dirs.kernels, name, { vmlinux, modulesDir: join(dir, 'modules'), version: '1' });
}

const LAYERS: TarSpec[][] = [
  [
    { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\n' },
    { name: 'bin/app', data: 'program', mode: 0o755 },
  ],
  [{ name: 'srv/data', data: 'content' }],
];
const CONFIG = {
  Entrypoint: ['/bin/app'],
  Cmd: ['--serve'],
  User: 'app',
  Env: ['A=b=c'],
  StopSignal: 'SIGINT',
};
const layout = (
  name: string,
  images: readonly OciImageSpec[] = [{ layers: LAYERS.map(writeTar), config: CONFIG }],
) => writeOciLayout(join(dir, name), images);
const run = (source: string, more = {}) => importImage(dirs, { source, ...more });

it('imports a layout, and finds the result again', async () => {
  await layout('app');
  const seen: ImportProgress[] = [];
  const source = `oci:${join(dir, 'app')}`;
  const first = await importImage(dirs, { source }, { onProgress: (at) => seen.push(at) });
  expect(first).toMatchObject({ name: 'app', outcome: 'added' });
  expect(seen.some(({ phase, layer, layers }) => phase === 'build' && layer === 2 && layers === 2)).toBe(
    true,
  );
  const image = await resolveImage(dirs.images, 'app');
  expect(image.manifest).toMatchObject({
    schema_version: 2,
    origin: { args: ['/bin/app', '--serve'], uid: 1234, gid: 2345, stop_signal: 2, layers: 2 },
  });
  expect((await stat(image.kernelPath)).ino).toBe((await stat(join(dirs.kernels, 'one', 'vmlinux'))).ino);
  expect((await readFile(image.rootfsPath)).readUInt32LE(1024)).toBe(0xe0f5e1e2);
  expect(await run(source)).toMatchObject({ outcome: 'unchanged', digest: first.digest });
  expect(await run(source, { name: 'twin' })).toMatchObject({ outcome: 'added', digest: first.digest });
  expect(await readdir(join(dirs.images, 'blobs'))).toHaveLength(1);
  expect(await readdir(join(dirs.images, 'tmp'))).toEqual([]);
});

it('gives the same root file system in another store, and another image with another kernel', async () => {
  await layout('app');
  const source = `oci:${join(dir, 'app')}`;
  const rootfs = async (name: string) =>
    sha256(await readFile((await resolveImage(dirs.images, name)).rootfsPath));
  const first = await run(source, { name: 'first' });
  await addFakeKernel('two');
  const second = await run(source, { name: 'second', kernel: 'two' });
  expect(second.digest).not.toBe(first.digest);
  expect(await rootfs('second')).toBe(await rootfs('first'));
  await expect(run(source, { kernel: 'three' })).rejects.toMatchObject({ reason: 'kernel.not_found' });
});

it.each(['docker-archive', 'oci-archive'])('imports a %s, by name', async (transport) => {
  await layout('app');
  const archive = join(dir, 'app.tar');
  await execa('skopeo', [
    'copy',
    '--insecure-policy',
    `oci:${join(dir, 'app')}`,
    `${transport}:${archive}:app:1`,
  ]);
  const imported = await run(`${transport}:${archive}`);
  expect(imported).toMatchObject({ name: 'app', outcome: 'added' });
  const { manifest } = await resolveImage(dirs.images, 'app');
  expect(manifest).toMatchObject({ origin: { args: ['/bin/app', '--serve'], uid: 1234, layers: 2 } });
  expect(await run(`${transport}:${archive}`)).toMatchObject({ outcome: 'unchanged' });
});

it('takes the image of this architecture, or the one that is named', async () => {
  const layers = LAYERS.map(writeTar);
  await writeOciLayout(join(dir, 'many'), [
    { layers, config: { ...CONFIG, Cmd: ['arm'] }, architecture: 'arm64' },
    { layers, config: { ...CONFIG, Cmd: ['here'] } },
  ]);
  await run(`oci:${join(dir, 'many')}`);
  expect((await resolveImage(dirs.images, 'many')).manifest).toMatchObject({
    origin: { args: ['/bin/app', 'here'] },
  });
  await writeOciLayout(join(dir, 'named'), [
    { layers, config: { ...CONFIG, Cmd: ['1'] }, reference: 'v1' },
    { layers, config: { ...CONFIG, Cmd: ['2'] }, reference: 'v2', compression: 'zstd' },
  ]);
  await run(`oci:${join(dir, 'named')}:v2`);
  expect((await resolveImage(dirs.images, 'named')).manifest).toMatchObject({
    origin: { args: ['/bin/app', '2'] },
  });
  await expect(run(`oci:${join(dir, 'named')}`)).rejects.toMatchObject({
    reason: 'image.bad_layout',
    message: expect.stringContaining('v1, v2'),
  });
  await expect(run(`oci:${join(dir, 'named')}:v3`)).rejects.toMatchObject({
    reason: 'image.source_not_found',
  });
});

it.each(['none', 'gzip', 'zstd', 'pzstd'] as const)('imports layers packed with %s', async (compression) => {
  await layout('app', [{ layers: LAYERS.map(writeTar), config: CONFIG, compression }]);
  expect(await run(`oci:${join(dir, 'app')}`)).toMatchObject({ outcome: 'added' });
});

it.each([
  ['a user that the image does not know', { ...CONFIG, User: 'nobody-knows' }, 'nobody-knows'],
  ['a group that the image does not know', { ...CONFIG, User: 'app:nobody-knows' }, 'nobody-knows'],
  ['no command', { Env: ['A=b'] }, 'no command'],
  ['a variable without a value', { ...CONFIG, Env: ['A'] }, 'Env'],
  ['an unknown signal', { ...CONFIG, StopSignal: 'SIGNOTHING' }, 'SIGNOTHING'],
  ['a directory that is not absolute', { ...CONFIG, WorkingDir: 'srv' }, 'srv'],
])('refuses %s, and leaves nothing behind', async (_what, config, word) => {
  await layout('app', [{ layers: LAYERS.map(writeTar), config: config as typeof CONFIG }]);
  await expect(run(`oci:${join(dir, 'app')}`)).rejects.toMatchObject({
    code: 'invalid_argument',
    reason: 'image.bad_config',
    message: expect.stringContaining(word),
  });
  expect(await readdir(join(dirs.images, 'blobs'))).toEqual([]);
  expect(await readdir(join(dirs.images, 'names'))).toEqual([]);
  expect(await readdir(join(dirs.images, 'tmp'))).toEqual([]);
});

it('refuses what was changed on its way', async () => {
  await layout('app');
  const blobs = join(dir, 'app', 'blobs', 'sha256');
  for (const name of await readdir(blobs)) {
    const path = join(blobs, name);
    const before = await readFile(path);
    const changed = Buffer.from(before);
    changed[changed.length - 20] = (changed.at(-20) ?? 0) ^ 1;
    await writeFile(path, changed);
    await expect(run(`oci:${join(dir, 'app')}`), name).rejects.toMatchObject({
      code: 'invalid_argument',
      reason: expect.stringMatching(/^image\.bad_(digest|layer)$/),
    });
    await writeFile(path, before);
  }
  expect(await run(`oci:${join(dir, 'app')}`)).toMatchObject({ outcome: 'added' });
});

it.each([
  ['app', 'image.invalid_source'],
  ['docker:app', 'image.invalid_source'],
  ['docker://app', 'image.invalid_source'],
  ['oci:', 'image.invalid_source'],
  ['oci:/nowhere', 'image.source_not_found'],
  ['docker-archive:/nowhere.tar', 'image.source_not_found'],
])('refuses the source %s', async (source, reason) => {
  await expect(run(source, { name: 'x' })).rejects.toMatchObject({ reason });
});

it('fetches no more than the limit from a registry that never stops', async () => {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [] },
  });
  const digest = (data: string) => `sha256:${sha256(Buffer.from(data))}`;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digest(config),
      size: config.length,
    },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digest('other'), size: 1024 }],
  });
  const registry = createServer((request, response) => {
    if (request.url?.includes('/manifests/')) {
      response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json');
      response.end(manifest);
    } else if (request.url?.endsWith(digest(config))) response.end(config);
    else if (request.url?.endsWith(digest('other'))) {
      pipeline(Readable.from(endless()), response, () => undefined);
    } else response.end('{}');
  });
  await new Promise<void>((done) => registry.listen(0, '127.0.0.1', done));
  const { port } = registry.address() as AddressInfo;
  try {
    await expect(
      run(`docker://127.0.0.1:${port}/team/app:1`, { maxBytes: 8 * 2 ** 20, registry: { tlsVerify: false } }),
    ).rejects.toMatchObject({ reason: 'image.limit_exceeded' });
  } finally {
    registry.closeAllConnections();
    registry.close();
  }
  expect(await readdir(join(dirs.images, 'tmp'))).toEqual([]);
});

/** At most 4 GiB. */
function* endless(): Generator<Buffer> {
  for (let i = 0; i < 4096; i += 1) yield Buffer.alloc(2 ** 20);
}

it('does not wait for a FIFO in a layout', async () => {
  await layout('app');
  await rm(join(dir, 'app', 'index.json'));
  await execa('mkfifo', [join(dir, 'app', 'index.json')]);
  await expect(run(`oci:${join(dir, 'app')}`)).rejects.toMatchObject({ reason: 'image.bad_layout' });
});
