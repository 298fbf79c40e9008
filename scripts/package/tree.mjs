import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundle } from '../bundle/bundle.mjs';
import { daemonManual } from './daemon-manual.mjs';
import { exampleConfig } from './example-config.mjs';
import { nodeRuntime } from './node-runtime.mjs';

/** Where the programs and their Node are. */
const LIB = 'usr/lib/mvm';
const DOC = 'usr/share/doc/mvm';
const PROGRAMS = { mvm: 'apps/cli', 'mvm-hostd': 'apps/hostd', 'mvm-agentd': 'apps/agentd' };

const DAEMONS = [
  {
    name: 'mvm-hostd',
    summary: "mvm's privileged executor",
    files: {
      '/etc/mvm/hostd.toml': `settings; /${DOC}/examples/hostd.toml has all of them`,
      '/etc/mvm/keys/<tenant>.key': 'keys of tenants whose snapshots and disks are encrypted',
      '/run/mvm/hostd.sock': 'socket of its protocol',
      '/var/lib/mvm': 'records, images and disks',
    },
  },
  {
    name: 'mvm-agentd',
    summary: "mvm's unprivileged reconciler",
    files: {
      '/run/mvm/agentd.sock': 'socket of its HTTP API',
      '/var/lib/mvm-agentd': 'the desired state',
    },
  },
];

/**
 * Lays the files of the Debian package into an empty directory, with its DEBIAN directory.
 * @param {string} root of the repository, which is built
 * @param {string} tree
 * @returns {Promise<{ version: string, sizes: { total: number, node: number } }>} sizes in bytes
 */
export async function buildTree(root, tree) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const runtime = nodeRuntime(root);
  const put = (/** @type {string} */ path, /** @type {string | Uint8Array} */ data, mode = 0o644) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), data, { mode });
  };
  await putPrograms(root, tree);
  mkdirSync(join(tree, LIB), { recursive: true });
  copyFileSync(runtime.node, join(tree, LIB, 'node'));
  for (const directory of ['sysusers.d', 'tmpfiles.d'])
    cpSync(join(root, 'deploy', directory), join(tree, 'usr/lib', directory), { recursive: true });
  cpSync(join(root, 'deploy/systemd'), join(tree, 'usr/lib/systemd/system'), { recursive: true });
  putDocuments(root, put);
  putGenerated(tree, put, version);
  put(`${DOC}/copyright`, copyright(root, tree, runtime));
  setModes(tree);
  const total = sizeOf(tree);
  putControl(root, tree, put, { version, total });
  return { version, sizes: { total, node: statSync(join(tree, LIB, 'node')).size } };
}

/** @typedef {(path: string, data: string | Uint8Array, mode?: number) => void} Put */

/** The three programs with what they have in common, and the one library that cannot be bundled. @param {string} root @param {string} tree */
async function putPrograms(root, tree) {
  await bundle({
    entries: Object.fromEntries(
      Object.entries(PROGRAMS).map(([name, dir]) => [name, join(root, dir, 'src/main.ts')]),
    ),
    outDir: join(tree, LIB),
    external: ['@mvm/selftest', 'koffi'],
    interpreter: `/${LIB}/node`,
  });
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  for (const name of Object.keys(PROGRAMS)) symlinkSync(`../lib/mvm/${name}.js`, join(tree, 'usr/bin', name));
  // pnpm has a package beside its dependencies.
  const koffi = realpathSync(join(root, 'apps/hostd/node_modules/koffi'));
  const native = join(koffi, '../@koromix/koffi-linux-x64');
  copyPackage(koffi, join(tree, LIB, 'node_modules/koffi'), /\.(js|cjs|json)$|^LICENSE/);
  copyPackage(
    native,
    join(tree, LIB, 'node_modules/@koromix/koffi-linux-x64'),
    /^index\.js$|^package\.json$|^linux_x64\//,
  );
}

/** Files of a package whose path matches. @param {string} from @param {string} to @param {RegExp} wanted */
function copyPackage(from, to, wanted) {
  for (const path of filesOf(realpathSync(from))) {
    const name = relative(realpathSync(from), path);
    if (!wanted.test(name) || name.startsWith('doc/') || name.startsWith('vendor/')) continue;
    mkdirSync(dirname(join(to, name)), { recursive: true });
    copyFileSync(path, join(to, name));
  }
}

/** @param {string} root @param {Put} put */
function putDocuments(root, put) {
  const page = (/** @type {string} */ name) => readFileSync(join(root, 'docs', name), 'utf8');
  for (const name of readdirSync(join(root, 'docs')).sort())
    if (name.endsWith('.md')) put(`${DOC}/${name}`, page(name));
  const examples = join(root, 'examples');
  for (const name of readdirSync(examples).sort())
    if (statSync(join(examples, name)).isFile())
      put(`${DOC}/examples/${name}`, readFileSync(join(examples, name)));
  put(
    `${DOC}/examples/hostd.toml`,
    exampleConfig(page('hostd-config.md'), 'mvm-hostd reads /etc/mvm/hostd.toml.'),
  );
  put(
    `${DOC}/examples/agentd.toml`,
    exampleConfig(page('agentd-config.md'), 'mvm-agentd reads the file that MVM_AGENTD_CONFIG names.'),
  );
}

/**
 * What the bundled programs themselves print: manual pages and completions.
 * @param {string} tree @param {Put} put @param {string} version
 */
function putGenerated(tree, put, version) {
  const print = (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
    execFileSync(process.execPath, [join(tree, LIB, `${program}.js`), ...args], {
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
      env: { PATH: process.env.PATH, COLUMNS: '80' },
    });
  for (const [file, text] of Object.entries(JSON.parse(print('mvm', '__manual'))))
    put(`usr/share/man/man1/${file}.gz`, gzipSync(text, { level: 9 }));
  for (const { name, ...facts } of DAEMONS) {
    const helps = [print(name, '--help'), print(name, 'serve', '--help')];
    const text = daemonManual({ name, version, helps, ...facts });
    put(`usr/share/man/man8/${name}.8.gz`, gzipSync(text, { level: 9 }));
  }
  put('usr/share/bash-completion/completions/mvm', print('mvm', 'completion', 'bash'));
  put('usr/share/zsh/vendor-completions/_mvm', print('mvm', 'completion', 'zsh'));
  put('usr/share/fish/vendor_completions.d/mvm.fish', print('mvm', 'completion', 'fish'));
}

/** @param {string} root @param {string} tree @param {{ licence: string, version: string }} runtime */
function copyright(root, tree, runtime) {
  const read = (/** @type {string} */ path) => readFileSync(path, 'utf8').trim();
  const parts = [
    ['mvm', read(join(root, 'LICENSE'))],
    [`Node.js ${runtime.version} (/${LIB}/node)`, read(runtime.licence)],
    [`koffi (/${LIB}/node_modules/koffi)`, read(join(tree, LIB, 'node_modules/koffi/LICENSE.txt'))],
    [`Packages in /${LIB}/*.js`, read(join(tree, LIB, 'THIRD-PARTY-LICENSES.txt'))],
  ];
  return `${parts.map(([title = '', text]) => `${title}\n${'='.repeat(title.length)}\n\n${text}\n`).join('\n')}`;
}

/** @param {string} root @param {string} tree @param {Put} put @param {{ version: string, total: number }} facts */
function putControl(root, tree, put, { version, total }) {
  const from = join(root, 'deploy/debian');
  const sums = filesOf(tree)
    .map((path) => `${createHash('md5').update(readFileSync(path)).digest('hex')}  ${relative(tree, path)}\n`)
    .join('');
  const control = readFileSync(join(from, 'control'), 'utf8')
    .replace('@VERSION@', version)
    .replace('@INSTALLED_SIZE@', String(Math.ceil(total / 1024)));
  put('DEBIAN/control', control);
  put('DEBIAN/md5sums', sums);
  for (const name of ['postinst', 'prerm', 'postrm'])
    put(`DEBIAN/${name}`, readFileSync(join(from, name), 'utf8').replaceAll('@VERSION@', version), 0o755);
}

/** Whatever the umask and the checkout's modes: directories and programs 0755, files 0644. @param {string} tree */
function setModes(tree) {
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), 0o755);
  }
  const programs = new Set([
    join(tree, LIB, 'node'),
    join(tree, LIB, 'assets/guest-boot.mvm-init'),
    join(tree, LIB, 'assets/guest-boot.mvm-vsock'),
    ...Object.keys(PROGRAMS).map((name) => join(tree, LIB, `${name}.js`)),
  ]);
  for (const path of filesOf(tree)) chmodSync(path, programs.has(path) ? 0o755 : 0o644);
  for (const path of programs) if (!existsSync(path)) throw new Error(`${path} is missing`);
  chmodSync(tree, 0o755);
}

/** Regular files below a directory, sorted. @param {string} dir */
function filesOf(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** @param {string} dir */
function sizeOf(dir) {
  return filesOf(dir).reduce((sum, path) => sum + statSync(path).size, 0);
}
