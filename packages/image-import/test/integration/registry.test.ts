import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { addKernel, BOOT_MODULES, kernelsDir } from '@mvm/guest-boot';
import { imagesDir, resolveImage } from '@mvm/image-store';
import { writeOciLayout, writeTar } from '@mvm/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { importImage } from '../../src/index.js';

// A real registry on loopback, with TLS by a CA of the test's own and basic authentication.

const PORT = 20_000 + (process.pid % 20_000);
const HOST = `localhost:${PORT}`;
let dir: string;
let registry: ChildProcess;
let authFile: string;

/** Debian's docker-registry, unpacked beside the other caches when it is not installed: its package starts a service. */
function registryProgram(): string {
  if (existsSync('/usr/bin/docker-registry')) return '/usr/bin/docker-registry';
  const cache = fileURLToPath(new URL('../../../../.cache/docker-registry', import.meta.url));
  const program = join(cache, 'usr/bin/docker-registry');
  if (existsSync(program)) return program;
  execFileSync('mkdir', ['-p', cache]);
  execFileSync('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', 'docker-registry'], { cwd: cache });
  execFileSync('sh', ['-c', 'dpkg-deb -x docker-registry_*.deb . && rm docker-registry_*.deb'], {
    cwd: cache,
  });
  return program;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-registry-'));
  const openssl = (...args: string[]) => execa('openssl', args, { cwd: dir });
  await openssl(
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', 'key.pem', '-out', 'ca.crt'],
  );
  // bcrypt of "secret", as htpasswd -B writes it.
  await writeFile(join(dir, 'htpasswd'), `operator:${await bcrypt('secret')}\n`);
  await writeFile(
    join(dir, 'config.yml'),
    JSON.stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(dir, 'storage') } },
      http: {
        addr: `127.0.0.1:${PORT}`,
        tls: { certificate: join(dir, 'ca.crt'), key: join(dir, 'key.pem') },
      },
      auth: { htpasswd: { realm: 'test', path: join(dir, 'htpasswd') } },
    }),
  );
  registry = spawn(registryProgram(), ['serve', join(dir, 'config.yml')], { stdio: 'ignore' });
  for (let tries = 0; !(await accepts()); tries += 1) {
    if (tries > 300 || registry.exitCode !== null) throw new Error('the registry does not listen');
    await sleep(100);
  }
  await mkdir(join(dir, 'certs'));
  await writeFile(join(dir, 'certs', 'ca.crt'), execFileSync('cat', [join(dir, 'ca.crt')]));
  authFile = join(dir, 'auth.json');
  const auth = Buffer.from('operator:secret').toString('base64');
  await writeFile(authFile, JSON.stringify({ auths: { [HOST]: { auth } } }), { mode: 0o600 });
  await mkdir(join(dir, 'modules'));
  for (const name of BOOT_MODULES)
    await writeFile(join(dir, 'modules', `${name}.ko`), 'license=GPL\0depends=\0');
  const vmlinux = join(dir, 'vmlinux');
  await writeFile(vmlinux, Buffer.concat([Buffer.from('\x7fELF', 'latin1'), Buffer.alloc(4096)]));
  await addKernel(kernelsDir(dir), 'one', { vmlinux, modulesDir: join(dir, 'modules'), version: '1' });
  await push('app', '1', 'first');
}, 180_000);
afterAll(async () => {
  registry.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

async function bcrypt(password: string): Promise<string> {
  const { stdout } = await execa('python3', [
    '-W',
    'ignore',
    '-c',
    'import crypt,sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH)))',
    password,
  ]);
  return stdout.trim();
}

function accepts(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(PORT, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

async function push(name: string, tag: string, content: string): Promise<void> {
  const layout = await mkdtemp(join(dir, 'layout-'));
  const layers = [writeTar([{ name: 'app', data: content, mode: 0o755 }])];
  await writeOciLayout(layout, [{ layers, config: { Cmd: ['/app', content] } }]);
  await execa('skopeo', [
    ...['copy', '--insecure-policy', '--dest-authfile', authFile, '--dest-cert-dir', join(dir, 'certs')],
    ...[`oci:${layout}`, `docker://${HOST}/team/${name}:${tag}`],
  ]);
}

const run = (tag: string, over = {}) =>
  importImage(
    { images: imagesDir(dir), kernels: kernelsDir(dir) },
    {
      source: `docker://${HOST}/team/app${tag}`,
      registry: { authFile, certDir: join(dir, 'certs'), ...over },
    },
  );

it('imports from a registry, finds it again without fetching, and follows a tag that has moved', async () => {
  const first = await run(':1');
  expect(first).toMatchObject({ name: 'app', outcome: 'added' });
  const args = async () => (await resolveImage(imagesDir(dir), 'app')).manifest;
  expect(await args()).toMatchObject({
    origin: { args: ['/app', 'first'], manifest_digest: first.manifestDigest },
  });
  expect(await run(':1')).toMatchObject({ outcome: 'unchanged', digest: first.digest });
  await push('app', '1', 'second');
  expect(await run(':1')).toMatchObject({ outcome: 'replaced' });
  expect(await args()).toMatchObject({ origin: { args: ['/app', 'second'] } });
  expect(await run(`@${first.manifestDigest}`)).toMatchObject({ outcome: 'replaced', digest: first.digest });
}, 180_000);

it('says so when credentials, certificate or tag are not right', async () => {
  const failed = { code: 'unavailable', reason: 'image.transfer_failed' };
  await writeFile(join(dir, 'no-auth.json'), '{}');
  await expect(run(':1', { authFile: join(dir, 'no-auth.json') })).rejects.toMatchObject({
    ...failed,
    message: expect.stringMatching(/unauthorized|authentication/),
  });
  await expect(run(':1', { certDir: undefined })).rejects.toMatchObject({
    ...failed,
    message: expect.stringMatching(/certificate|x509/),
  });
  expect(await run(':1', { certDir: undefined, tlsVerify: false })).toMatchObject({ name: 'app' });
  await expect(run(':none')).rejects.toMatchObject({ ...failed, message: expect.stringContaining('none') });
});
