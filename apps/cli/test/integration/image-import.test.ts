import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BOOT_MODULES } from '@mvm/guest-boot';
import { writeOciLayout, writeTar } from '@mvm/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runMvm } from './run-mvm.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), `mvm-cli-import-${process.pid}-`));
  await mkdir(join(dir, 'modules'));
  for (const name of BOOT_MODULES)
    await writeFile(join(dir, 'modules', `${name}.ko`), 'license=GPL\0depends=\0');
  await writeFile(
    join(dir, 'vmlinux'),
    Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(4096)]),
  );
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const mvm = (...args: string[]) => runMvm(args, { env: { MVM_STATE_DIR: join(dir, 'state') } });
const addKernel = () =>
  mvm('kernel', 'add', 'own', '--kernel', join(dir, 'vmlinux'), '--modules', join(dir, 'modules'));

async function image(name: string, content: string): Promise<string> {
  const layers = [writeTar([{ name: 'app', data: content, mode: 0o755 }])];
  const config = { Entrypoint: ['/app'], Cmd: ['say', 'two words'], Volumes: { '/data': {} } };
  await writeOciLayout(join(dir, name), [{ layers, config }]);
  return `oci:${join(dir, name)}`;
}

/** As hostd records a pool. */
async function pool(name: string, flakeRef: string): Promise<void> {
  const path = join(dir, 'state', 'tenants', 'acme', 'pools', name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'pool.json'), JSON.stringify({ flake_ref: flakeRef, image: null }));
}

it('imports, shows and lists an image, and manages kernels', async () => {
  expect(await mvm('kernel', 'list')).toMatchObject({ code: 0, stdout: '' });
  expect(await addKernel()).toMatchObject({ code: 0, stdout: 'own own, the default\n' });
  const imported = await mvm('image', 'import', await image('app', '1'));
  expect(imported.code, imported.stderr).toBe(0);
  expect(imported.stdout).toMatch(/^app added: sha256:[0-9a-f]{64}, [\d.]+KiB\n$/);
  expect(imported.stderr).toContain('reading layer 1 of 1');
  const again = await mvm('image', 'import', await image('app', '1'), '-o', 'json');
  expect(JSON.parse(again.stdout)).toMatchObject({ kind: 'Image', name: 'app', outcome: 'unchanged' });
  expect((await mvm('image', 'list')).stdout).toMatch(/\napp +sha256:[0-9a-f]{12} /);
  const info = (await mvm('image', 'info', 'app')).stdout;
  expect(info).toMatch(/Command: +\/app say 'two words'\n/);
  expect(info).toMatch(/Kernel: +own own\n/);
  expect(info).toMatch(/Volumes: +\/data\n/);
  expect(await mvm('kernel', 'remove', 'own')).toMatchObject({ code: 0, stdout: 'own removed\n' });
  expect((await mvm('image', 'list')).stdout).toMatch(/ ok\n$/);
});

it('shows the attributes that an image loses, and sends nothing of it to the terminal', async () => {
  expect(await addKernel()).toMatchObject({ code: 0 });
  const xattrs = { 'other.\x1b]0;title\x07name': '1' };
  const layers = [writeTar([{ name: 'app', data: '1', mode: 0o755, xattrs }])];
  await writeOciLayout(join(dir, 'app'), [{ layers, config: { Entrypoint: ['/app'] } }]);
  const { code, stderr } = await mvm('image', 'import', `oci:${join(dir, 'app')}`);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('extended attributes that were left out: other.name\n');
});

it('refuses to remove an image that a pool names, and prunes what none needs', async () => {
  expect(await addKernel()).toMatchObject({ code: 0 });
  const first = JSON.parse(
    (await mvm('image', 'import', await image('app', '1'), '-o', 'json')).stdout,
  ).digest;
  const second = JSON.parse(
    (await mvm('image', 'import', await image('app', '2'), '-o', 'json')).stdout,
  ).digest;
  await mvm('image', 'import', await image('other', '3'));
  await pool('web', 'app');
  await pool('old', `app@${first}`);
  const refused = await mvm('image', 'remove', 'app');
  expect(refused).toMatchObject({ code: 4, stdout: '' });
  expect(refused.stderr).toContain('the image app is used by acme/old, acme/web');
  expect(await mvm('image', 'remove', 'app', '--dry-run')).toMatchObject({ code: 4 });
  const blobs = () =>
    readdir(join(dir, 'state', 'images', 'blobs')).then((names) =>
      names.map((name) => `sha256:${name}`).sort(),
    );
  expect(await blobs()).toHaveLength(3);
  await mvm('image', 'prune');
  expect(await blobs()).toHaveLength(3);
  await pool('old', `app@${second}`);
  expect((await mvm('image', 'prune', '--dry-run')).stdout).toContain(first);
  expect(await blobs()).toHaveLength(3);
  expect((await mvm('image', 'prune')).stdout).toBe(`${first} deleted\n`);
  const all = await mvm('image', 'prune', '--all');
  expect(all.stdout).toMatch(/^other removed\nsha256:[0-9a-f]{64} deleted\n$/);
  expect(await blobs()).toEqual([second]);
  expect(await mvm('image', 'remove', 'app', '--force')).toMatchObject({ code: 0, stdout: 'app removed\n' });
  expect(await blobs()).toEqual([]);
});

it.each([
  [['image', 'import', 'nonsense'], 2, 'begins with no known transport'],
  [['image', 'import', 'oci:/nowhere', '--name', '-'], 2, 'not an image name'],
  [['image', 'import', 'oci:/nowhere'], 3, 'no index.json'],
  [['image', 'import', 'oci:/nowhere', '--max-size', '1'], 2, 'not a size'],
  [['image', 'import', 'oci:/nowhere', '--dns', 'name'], 2, 'name servers'],
  [['kernel', 'add', 'own'], 2, '--modules'],
  [['kernel', 'remove', 'nothing'], 3, 'no kernel nothing'],
])('%s ends with %i', async (args, code, words) => {
  expect(await addKernel()).toMatchObject({ code: 0 });
  const result = await mvm(...args);
  expect(result.code).toBe(code);
  expect(result.stderr).toContain(words);
});
