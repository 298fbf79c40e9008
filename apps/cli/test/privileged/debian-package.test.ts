import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The Debian package, built twice from this checkout, and installed in a changeable copy of this host's file system. */
const root = fileURLToPath(new URL('../../../..', import.meta.url));
const PACK_TIMEOUT_MS = 600_000;
let work: string;
let deb: string;

/** A program's output; throws with its standard error when it fails. */
function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
}

function pack(name: string): string {
  const out = join(work, name);
  run(process.execPath, join(root, 'scripts/package/main.mjs'), '--uncompressed', '--out', out);
  const [file = ''] = readdirSync(out);
  return join(out, file);
}

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'mvm-deb-'));
  deb = pack('first');
}, PACK_TIMEOUT_MS);
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe('the package', () => {
  it('is the same, byte for byte, when it is built again', { timeout: PACK_TIMEOUT_MS }, () => {
    const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(digest(pack('second'))).toBe(digest(deb));
  });

  it('has the programs, units, pages, completions and examples, all of root', () => {
    const entries = run('dpkg-deb', '--contents', deb)
      .trim()
      .split('\n')
      .map((line) => /^(\S+) (\S+) +(\d+) \S+ \S+ \.\/(.*)$/.exec(line) ?? []);
    expect(new Set(entries.map(([, , owner]) => owner))).toEqual(new Set(['root/root']));
    const paths = entries.map(([, , , , path = '']) => path.replace(/ -> .*/, ''));
    expect(paths).toEqual(
      expect.arrayContaining([
        'usr/bin/mvm',
        'usr/bin/mvm-hostd',
        'usr/bin/mvm-agentd',
        'usr/lib/mvm/node',
        ...readdirSync(join(root, 'deploy/systemd')).map((unit) => `usr/lib/systemd/system/${unit}`),
        'usr/lib/sysusers.d/mvm.conf',
        'usr/lib/tmpfiles.d/mvm.conf',
        'usr/share/man/man1/mvm.1.gz',
        'usr/share/man/man1/mvm-instance-list.1.gz',
        'usr/share/man/man8/mvm-hostd.8.gz',
        'usr/share/bash-completion/completions/mvm',
        'usr/share/doc/mvm/copyright',
        'usr/share/doc/mvm/examples/hostd.toml',
        'usr/share/doc/mvm/examples/two-tenants.yaml',
      ]),
    );
    const writable = entries.filter(
      ([, mode = '']) => !mode.startsWith('l') && /^.....w|^........w/.test(mode),
    );
    expect(writable).toEqual([]);
    // Nothing of the development: of all packages only the native one is not part of the bundles.
    const modules = paths.map((path) => /node_modules\/((?:@[^/]+\/)?[^/@]+)/.exec(path)?.[1]);
    expect(new Set(modules)).toEqual(new Set([undefined, 'koffi', '@koromix/koffi-linux-x64']));
    const bytes = entries.map(([, , , size, path = '']) => (path === 'usr/lib/mvm/node' ? 0 : Number(size)));
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(60 * 2 ** 20);
  });

  it('has manual pages without a fault', () => {
    const tree = join(work, 'tree');
    run('dpkg-deb', '--extract', deb, tree);
    for (const page of readdirSync(join(tree, 'usr/share/man/man1'))) {
      const text = run('zcat', join(tree, 'usr/share/man/man1', page));
      expect(text, page).toMatch(/^\.TH "MVM[A-Z-]*" 1 "" "mvm /);
      expect(text, page).toMatch(/^\.SH NAME$/m);
      // A line that begins with a dot and is no macro would be swallowed.
      expect(text.match(/^\.(?!TH |SH |TP$|PP$|nf$|fi$).*/gm), page).toBeNull();
    }
  });
});

describe('installed', () => {
  let merged: string;
  const daemons: ChildProcess[] = [];
  const inside = (...command: string[]) => run('chroot', merged, '/usr/bin/env', ...command);
  const dpkg = (...args: string[]) => inside('PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'dpkg', ...args);
  const upper = () => join(work, 'layer/upper');

  beforeAll(() => {
    const layer = join(work, 'layer');
    merged = join(work, 'merged');
    for (const dir of [layer, merged]) mkdirSync(dir);
    run('mount', '-t', 'tmpfs', 'tmpfs', layer);
    for (const dir of ['upper', 'work']) mkdirSync(join(layer, dir));
    run(
      'mount',
      '-t',
      'overlay',
      'overlay',
      '-o',
      `lowerdir=/,upperdir=${layer}/upper,workdir=${layer}/work`,
      merged,
    );
    for (const dir of ['/proc', '/dev', '/sys']) run('mount', '--rbind', dir, join(merged, dir));
    run('mount', '-t', 'tmpfs', 'tmpfs', join(merged, 'run'));
    // Whether the host has an account of that name or not.
    for (const command of ['userdel', 'groupdel']) {
      try {
        inside('PATH=/usr/sbin:/usr/bin', command, 'mvm');
      } catch {
        // There is none.
      }
    }
  }, PACK_TIMEOUT_MS);
  afterAll(async () => {
    for (const daemon of daemons) await end(daemon);
    run('umount', '--recursive', '--lazy', merged);
    run('umount', '--lazy', join(work, 'layer'));
    for (const cgroup of ['/sys/fs/cgroup/mvm-package-test']) if (existsSync(cgroup)) run('rmdir', cgroup);
  });

  async function end(daemon: ChildProcess): Promise<void> {
    if (daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await ended;
  }

  const installedBy = () => {
    const before = accounts();
    const output = dpkg('--install', copyIn(deb));
    return { before, output };
  };
  function copyIn(path: string): string {
    run('cp', path, join(merged, 'run/mvm.deb'));
    return path === deb ? '/run/mvm.deb' : path;
  }
  const accounts = () =>
    ['passwd', 'group'].map((file) => readFileSync(join(merged, 'etc', file), 'utf8')).join('');
  let before: string;

  it('creates the account and its directories, and says what is next', { timeout: PACK_TIMEOUT_MS }, () => {
    const installed = installedBy();
    before = installed.before;
    expect(installed.output).toContain('Next: mvm setup');
    expect(inside('getent', 'passwd', 'mvm')).toMatch(/^mvm:x:\d+:\d+:/);
    expect(run('stat', '-c', '%a', join(merged, 'run/mvm'))).toBe('1771\n');
    expect(inside('dpkg', '--verify', 'mvm')).not.toMatch(/usr\/(bin|lib)/);
  });

  it('runs on its own Node: both daemons, and mvm with them', { timeout: PACK_TIMEOUT_MS }, async () => {
    const clean = ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
    const start = (...command: string[]) => {
      const args = [merged, '/usr/bin/env', ...clean, ...command];
      const child = spawn('chroot', args, { stdio: ['ignore', 'ignore', 'inherit'] });
      daemons.push(child);
    };
    start('mvm-hostd', 'serve', '--cgroup-parent', 'mvm-package-test');
    run('install', '-d', '-o', 'root', '-g', 'root', '-m', '0755', join(merged, 'var/lib'));
    inside('install', '-d', '-o', 'mvm', '-g', 'mvm', '-m', '0700', '/var/lib/mvm-agentd');
    start('setpriv', '--reuid', 'mvm', '--regid', 'mvm', '--init-groups', 'mvm-agentd', 'serve');
    const ping = () => inside(...clean, 'mvm', 'ping');
    await expect.poll(() => attempt(ping), { timeout: 60_000 }).toMatch(/hostd/);
    expect(inside(...clean, 'mvm', 'version')).toMatch(/hostd/i);
    const { version } = JSON.parse(readFileSync(join(root, 'scripts/package/node-runtime.json'), 'utf8'));
    expect(inside('readlink', `/proc/${daemons[0]?.pid}/exe`)).toBe('/usr/lib/mvm/node\n');
    expect(inside('/usr/lib/mvm/node', '--version')).toBe(`v${version}\n`);
  });

  it('stays usable through an installation of the same package', { timeout: PACK_TIMEOUT_MS }, () => {
    dpkg('--install', '/run/mvm.deb');
    expect(inside('mvm', 'ping')).toMatch(/hostd/);
  });

  it('leaves nothing after a purge', { timeout: PACK_TIMEOUT_MS }, async () => {
    for (const daemon of daemons) await end(daemon);
    expect(existsSync(join(merged, 'var/lib/mvm'))).toBe(true);
    dpkg('--purge', 'mvm');
    expect(accounts()).toBe(before);
    const left = run(
      'find',
      upper(),
      '(',
      '-type',
      'f',
      '-o',
      '-type',
      'l',
      '-o',
      '-type',
      'd',
      ')',
      '-name',
      '*mvm*',
    );
    expect(left.split('\n').filter((path) => path !== '')).toEqual([]);
    expect(existsSync(join(merged, 'run/mvm'))).toBe(false);
    expect(existsSync(join(merged, 'run/mvm-hostd'))).toBe(false);
  });
});

function attempt(work: () => string): string {
  try {
    return work();
  } catch (error) {
    return String((error as { stderr?: string }).stderr ?? error);
  }
}
