/**
 * The Debian guest without mvm: a root file system of Debian's packages with systemd, a kernel, an initrd.
 *
 * INVARIANTS
 * - A build is found by the hash of all that goes into it, and appears complete or not at all.
 * - The root file system is never written by a guest: guests get a layer above it.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fetchKernel, findKernelPackage, orderModules, readModules } from '@mvm/guest-boot';
import { execa } from 'execa';

/** Raised when the same inputs would give another image. */
const RECIPE = 1;

/** Besides the essential packages and those that these depend on; the product's own needs come from docs/install.md. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'udev', 'dbus', 'kmod', 'procps', 'libstdc++6'],
  ...['qemu-system-x86', 'nftables', 'conntrack', 'iproute2', 'e2fsprogs', 'zstd', 'openssl'],
];
const SIZE_MIB = 3072;
/** What the initrd needs to mount the root file system; ext4 is part of Debian's kernel. */
const INITRD_MODULES = ['virtio_pci', 'virtio_blk'];
/** Not of interest, and each costs an emulated machine seconds. */
const MASKED = [
  ...['getty@.service', 'serial-getty@.service', 'apt-daily.timer', 'apt-daily-upgrade.timer'],
  ...[
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
    'fstrim.timer',
    'systemd-pstore.service',
  ],
  ...['systemd-update-utmp.service', 'systemd-update-utmp-runlevel.service', 'systemd-networkd.service'],
];

const guestFile = (name: string): string => join(import.meta.dirname, '../guest', name);

/** Absolute paths. */
export interface BaseImage {
  readonly kernel: string;
  readonly initrd: string;
  /** ext4; `/opt/mvm` is empty. */
  readonly root: string;
  /** False when an earlier build was found. */
  readonly built: boolean;
}

/**
 * Builds the guest, or finds an earlier build. Needs root, Debian 12 on amd64 with current package lists, mmdebstrap,
 * kmod, busybox-static, cpio, e2fsprogs.
 */
export async function buildBaseImage(
  cacheDir: string,
  onProgress: (what: string) => void,
): Promise<BaseImage> {
  const kernel = await findKernelPackage();
  const busybox = await readFile('/bin/busybox');
  const files = await Promise.all(
    ['control.sh', 'mvm-control.service', 'init'].map((name) => readFile(guestFile(name))),
  );
  const policy = await execa('apt-cache', ['policy', ...PACKAGES], { env: { LC_ALL: 'C' } });
  const candidates = [...policy.stdout.matchAll(/^(\S+):$|^ {2}Candidate: (\S+)$/gm)].map(
    (match) => match[1] ?? match[2],
  );
  const hash = createHash('sha256');
  hash.update(JSON.stringify([RECIPE, SIZE_MIB, INITRD_MODULES, MASKED, kernel, candidates]));
  for (const file of [busybox, ...files]) hash.update(createHash('sha256').update(file).digest());
  const directory = join(cacheDir, `debian-${hash.digest('hex').slice(0, 16)}`);
  const at = (dir: string) => ({
    kernel: join(dir, 'vmlinux'),
    initrd: join(dir, 'initrd.cpio'),
    root: join(dir, 'root.ext4'),
  });
  if (
    await stat(directory).then(
      () => true,
      () => false,
    )
  )
    return { ...at(directory), built: false };

  await mkdir(cacheDir, { recursive: true });
  const staging = await mkdtemp(join(cacheDir, '.debian-'));
  try {
    const unpacked = await fetchKernel(kernel, join(cacheDir, '../guest-image'), onProgress);
    const release = kernel.name.replace(/^linux-image-/, '');
    const ready = join(staging, 'ready');
    const tree = join(staging, 'tree');
    await mkdir(ready);
    // A directory of its own, which every user may enter: apt's own user reads what it unpacks.
    await chmod(staging, 0o755);
    onProgress(`installing Debian with ${PACKAGES.length} packages and what they need`);
    const { sources, options } = await hostApt();
    await execa('mmdebstrap', [
      ...['--mode=root', '--variant=minbase', '--aptopt=APT::Install-Recommends "false"'],
      ...options.map((option) => `--aptopt=${option}`),
      ...['--dpkgopt=path-exclude=/usr/share/man/*', '--dpkgopt=path-exclude=/usr/share/locale/*'],
      ...['--dpkgopt=path-exclude=/usr/share/doc/*', `--include=${PACKAGES.join(',')}`, 'bookworm', tree],
      ...sources,
    ]);
    await cp(unpacked.modulesDir, join(tree, 'usr/lib/modules', release), { recursive: true });
    await execa('depmod', ['-b', tree, release]);
    await configure(tree);
    onProgress('making the root file system');
    const time = { E2FSPROGS_FAKE_TIME: '1700000000' };
    await execa('mkfs.ext4', ['-q', '-F', '-m', '0', '-d', tree, at(ready).root, `${SIZE_MIB}M`], {
      env: time,
    });
    await buildInitrd(join(staging, 'initrd'), busybox, unpacked.modulesDir, at(ready).initrd);
    await copyFile(unpacked.vmlinuxPath, at(ready).kernel);
    await rename(ready, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return { ...at(directory), built: true };
}

/** Where this host's apt gets packages from, and how: without it, mmdebstrap would use a mirror of its own. */
async function hostApt(): Promise<{ sources: string[]; options: string[] }> {
  const parts = '/etc/apt/sources.list.d';
  const names = (await readdir(parts).catch(() => [])).filter((name) => /\.(list|sources)$/.test(name));
  const sources: string[] = [];
  for (const path of ['/etc/apt/sources.list', ...names.sort().map((name) => join(parts, name))]) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (/^[^#]*\bbookworm\b/m.test(text)) sources.push(path);
  }
  if (sources.length === 0) throw new Error('apt of this host has no source of Debian 12 (bookworm)');
  const { stdout } = await execa('apt-config', ['dump']);
  const options = stdout.split('\n').filter((line) => /^Acquire::(https?::|Retries)/.test(line));
  return { sources, options };
}

async function configure(tree: string): Promise<void> {
  const units = join(tree, 'etc/systemd/system');
  await writeFile(join(tree, 'etc/hostname'), 'mvm-systemd-test\n');
  await writeFile(
    join(tree, 'etc/fstab'),
    '/dev/vda / ext4 rw,noatime 0 1\n/dev/vdb /opt/mvm ext4 ro,noatime 0 0\n',
  );
  await mkdir(join(tree, 'opt/mvm'));
  for (const name of MASKED) {
    await rm(join(units, name), { force: true });
    await symlink('/dev/null', join(units, name));
  }
  await copyFile(guestFile('control.sh'), join(tree, 'usr/local/lib/mvm-control.sh'));
  await copyFile(guestFile('mvm-control.service'), join(units, 'mvm-control.service'));
  await mkdir(join(units, 'default.target.wants'), { recursive: true });
  await symlink('../mvm-control.service', join(units, 'default.target.wants/mvm-control.service'));
}

async function buildInitrd(tree: string, busybox: Buffer, modulesDir: string, output: string): Promise<void> {
  for (const name of ['bin', 'modules', 'proc', 'sys', 'dev', 'root'])
    await mkdir(join(tree, name), { recursive: true });
  await writeFile(join(tree, 'bin/busybox'), busybox, { mode: 0o755 });
  await copyFile(guestFile('init'), join(tree, 'init'));
  await chmod(join(tree, 'init'), 0o755);
  const modules = orderModules(await readModules(modulesDir, INITRD_MODULES), INITRD_MODULES);
  for (const module of modules) await writeFile(join(tree, 'modules', module.fileName), module.data);
  await writeFile(join(tree, 'modules/order'), modules.map((module) => `${module.fileName}\n`).join(''));
  const { stdout: names } = await execa('find', ['.', '-mindepth', '1'], { cwd: tree });
  await execa('cpio', ['--quiet', '-o', '-H', 'newc', '-R', '0:0', '-O', output], {
    cwd: tree,
    input: `${names}\n`,
  });
}
