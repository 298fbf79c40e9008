import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kernelUnusable } from './errors.js';
import { runTool } from './tool.js';
import { extractVmlinux } from './vmlinux.js';

const META_PACKAGE = 'linux-image-cloud-amd64';

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

/**
 * The kernel package that the distribution's cloud kernel stands for at present, out of the local package lists.
 * Throws `kernel.unusable` when the lists do not know it.
 */
export async function findKernelPackage(): Promise<KernelPackage> {
  const architecture = (await runTool('dpkg', ['--print-architecture'])).trim();
  if (architecture !== 'amd64') {
    throw kernelUnusable(`no guest image for ${architecture} yet`, 'Build it on an amd64 machine.');
  }
  const meta = await show(META_PACKAGE);
  const name = /^Depends:.*?\b(linux-image-[0-9][a-z0-9.+-]*-cloud-amd64)\b/m.exec(meta)?.[1];
  const version = name === undefined ? undefined : /^Version: (\S+)$/m.exec(await show(name))?.[1];
  if (name === undefined || version === undefined) {
    throw kernelUnusable(
      `the package lists do not say which kernel ${META_PACKAGE} stands for`,
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
    onProgress(`downloading ${kernel.name} ${kernel.version}`);
    // PRIVILEGE: apt's own unprivileged user cannot write below a root-owned directory; the download needs none.
    await runTool(
      'apt-get',
      ['-o', 'APT::Sandbox::User=root', 'download', `${kernel.name}=${kernel.version}`],
      {
        cwd: staging,
        timeoutMs: 600_000,
      },
    );
    const deb = (await readdir(staging)).find((file) => file.endsWith('.deb'));
    if (deb === undefined) throw kernelUnusable('apt-get downloaded nothing', 'Run apt-get update.');
    onProgress('unpacking the kernel');
    const tree = join(staging, 'tree');
    await runTool('dpkg-deb', ['-x', join(staging, deb), tree]);
    const release = kernel.name.replace(/^linux-image-/, '');
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

async function modulesDirOf(tree: string, release: string): Promise<string> {
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
