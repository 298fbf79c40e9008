import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kernelUnusable } from './errors.js';
import { runTool } from './tool.js';
import { extractVmlinux } from './vmlinux.js';

/** Debian's kernels: `cloud` is what guests boot; `generic` also has drivers of real hardware, 9p and KVM. */
export type KernelFlavour = 'cloud' | 'generic';

const META_PACKAGE = { cloud: 'linux-image-cloud-amd64', generic: 'linux-image-amd64' } as const;
const PACKAGE_NAME = {
  cloud: /^Depends:.*?\b(linux-image-[0-9][a-z0-9.+-]*-cloud-amd64)\b/m,
  generic: /^Depends:.*?\b(linux-image-[0-9][0-9.+-]*-amd64)\b/m,
} as const;

/** Which kernel package the host's package lists offer. */
export interface KernelPackage {
  /** e.g. `linux-image-6.1.0-56-cloud-amd64`. */
  readonly name: string;
  /** e.g. `6.1.192-2`. */
  readonly version: string;
}

/** An unpacked kernel. */
export interface UnpackedKernel {
  /** The ELF kernel. */
  readonly vmlinuxPath: string;
  readonly modulesDir: string;
}

/** A kernel package's files. */
export interface KernelTree {
  /** Directory that stands for `/`. */
  readonly root: string;
  /** As `uname -r` has it, e.g. `6.1.0-56-cloud-amd64`. */
  readonly release: string;
}

/**
 * The kernel package that the distribution's kernel of a flavour stands for at present, out of the local package lists.
 * Throws `kernel.unusable` when the lists do not know it.
 */
export async function findKernelPackage(flavour: KernelFlavour = 'cloud'): Promise<KernelPackage> {
  const architecture = (await runTool('dpkg', ['--print-architecture'])).trim();
  if (architecture !== 'amd64') {
    throw kernelUnusable(`no guest image for ${architecture} yet`, 'Build it on an amd64 machine.');
  }
  const metaPackage = META_PACKAGE[flavour];
  const name = PACKAGE_NAME[flavour].exec(await show(metaPackage))?.[1];
  const version = name === undefined ? undefined : /^Version: (\S+)$/m.exec(await show(name))?.[1];
  if (name === undefined || version === undefined) {
    throw kernelUnusable(
      `the package lists do not say which kernel ${metaPackage} stands for`,
      'Run apt-get update, then build again.',
    );
  }
  return { name, version };
}

async function show(name: string): Promise<string> {
  try {
    return await runTool('apt-cache', ['show', '--no-all-versions', name]);
  } catch (error) {
    throw kernelUnusable(
      `the package lists do not know ${name}`,
      'Run apt-get update, then build again. The build needs Debian 12.',
      error,
    );
  }
}

/**
 * Download (apt checks it against the signed lists) and unpack the kernel below `cacheDir`, once; nothing is
 * installed. The kernel's directory appears complete or not at all.
 */
export async function fetchKernel(
  kernel: KernelPackage,
  cacheDir: string,
  onProgress: (what: string) => void,
): Promise<UnpackedKernel> {
  const directory = join(
    cacheDir,
    `kernel-${kernel.name}_${kernel.version.replaceAll(/[^A-Za-z0-9.+~-]/g, '_')}`,
  );
  const unpacked = { vmlinuxPath: join(directory, 'vmlinux'), modulesDir: join(directory, 'modules') };
  if (await exists(unpacked.vmlinuxPath)) return unpacked;
  await mkdir(cacheDir, { recursive: true });
  const staging = await mkdtemp(join(cacheDir, '.kernel-'));
  try {
    const { root: tree, release } = await unpackKernelPackage(kernel, staging, onProgress);
    const ready = join(staging, 'ready');
    await mkdir(ready);
    await writeFile(
      join(ready, 'vmlinux'),
      extractVmlinux(await readFile(join(tree, 'boot', `vmlinuz-${release}`))),
    );
    await rename(await modulesDirOf(tree, release), join(ready, 'modules'));
    await replaceDirectory(ready, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return unpacked;
}

/**
 * Download a kernel package (apt checks it against the signed lists) and unpack it in a directory of the caller's;
 * nothing is installed. Throws `kernel.unusable`.
 */
export async function unpackKernelPackage(
  kernel: KernelPackage,
  directory: string,
  onProgress: (what: string) => void,
): Promise<KernelTree> {
  onProgress(`downloading ${kernel.name} ${kernel.version}`);
  // PRIVILEGE: apt's own unprivileged user cannot write below a root-owned directory; the download needs none.
  await runTool(
    'apt-get',
    ['-o', 'APT::Sandbox::User=root', 'download', `${kernel.name}=${kernel.version}`],
    { cwd: directory, timeoutMs: 600_000 },
  );
  const deb = (await readdir(directory)).find((file) => file.endsWith('.deb'));
  if (deb === undefined) throw kernelUnusable('apt-get downloaded nothing', 'Run apt-get update.');
  onProgress('unpacking the kernel');
  const root = join(directory, 'tree');
  await runTool('dpkg-deb', ['-x', join(directory, deb), root]);
  return { root, release: kernel.name.replace(/^linux-image-/, '') };
}

/** Where an unpacked package has its modules. Throws `kernel.unusable`. */
export async function modulesDirOf(tree: string, release: string): Promise<string> {
  for (const prefix of ['lib', 'usr/lib']) {
    const directory = join(tree, prefix, 'modules', release);
    if (await exists(directory)) return directory;
  }
  throw kernelUnusable(`the kernel package holds no modules for ${release}`, 'Use a Debian 12 cloud kernel.');
}

/** Put a finished directory under its name; whoever else finished the same one first wins. */
export async function replaceDirectory(ready: string, destination: string): Promise<void> {
  try {
    await rename(ready, destination);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

/** Whether a path leads to something. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
