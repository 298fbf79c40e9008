import { createHash } from 'node:crypto';
import { constants, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  exists,
  fetchKernel,
  findKernelPackage,
  type KernelPackage,
  orderModules,
  readModules,
  replaceDirectory,
} from '@mvm/guest-boot';
import {
  GUEST_DIRECTORIES,
  GUEST_MODULES,
  type GuestFiles,
  type GuestVariant,
  readGuestFiles,
} from './guest-files.js';
import { renderInitrd } from './initrd.js';
import { buildRootfs } from './rootfs.js';

/** Raised when the same inputs would give another image: sizes, formats, layout of the file systems. */
const RECIPE = 1;

/** Kernel command line of the image; `quiet` because each console line costs the guest time. */
const KERNEL_ARGS = 'console=ttyS0 panic=-1 reboot=t random.trust_cpu=on cryptomgr.notests quiet';

/** Where a built image lies: absolute paths. */
export interface GuestImage {
  /** An ELF kernel (vmlinux). */
  readonly kernel: string;
  readonly initrd: string;
  /** ext4, to be attached read-only as the drive with serial number `rootfs`. */
  readonly rootfs: string;
  readonly kernelArgs: string;
  /** False when an earlier build was found. */
  readonly built: boolean;
}

export interface BuildOptions {
  /** Made when missing; holds the downloaded kernel and one directory per build. */
  readonly outDir: string;
  /** Default: `demo`. */
  readonly variant?: GuestVariant;
  readonly onProgress?: (what: string) => void;
}

/**
 * Build the guest image, or find an earlier build from the same inputs (kernel package, busybox, guest programs,
 * recipe). A build appears complete or not at all, whoever else builds at the same time. Installs nothing on the host;
 * needs Debian 12 on amd64 with current package lists, busybox-static and e2fsprogs. Throws `GuestImageError` with a
 * hint.
 */
export async function buildGuestImage(options: BuildOptions): Promise<GuestImage> {
  const outDir = resolve(options.outDir);
  const onProgress = options.onProgress ?? (() => {});
  const variant = options.variant ?? 'demo';
  const wanted = GUEST_MODULES[variant];
  const [kernel, guest] = await Promise.all([findKernelPackage(), readGuestFiles(variant)]);
  const directory = join(outDir, `image-${fingerprint(kernel, guest, wanted)}`);
  const image = {
    kernel: join(directory, 'vmlinux'),
    initrd: join(directory, 'initrd.cpio'),
    rootfs: join(directory, 'rootfs.ext4'),
    kernelArgs: KERNEL_ARGS,
  };
  if (await exists(directory)) return { ...image, built: false };
  const unpacked = await fetchKernel(kernel, outDir, onProgress);
  await mkdir(outDir, { recursive: true });
  const staging = await mkdtemp(join(outDir, '.image-'));
  try {
    onProgress('making the initrd');
    const ready = join(staging, 'ready');
    const tree = join(staging, 'tree');
    await mkdir(ready);
    await mkdir(tree);
    const modules = orderModules(await readModules(unpacked.modulesDir, wanted), wanted);
    await writeFile(join(ready, 'initrd.cpio'), renderInitrd(guest, modules));
    onProgress('making the root file system');
    await buildRootfs(guest, tree, join(ready, 'rootfs.ext4'));
    await copyFile(unpacked.vmlinuxPath, join(ready, 'vmlinux'), constants.COPYFILE_FICLONE);
    await replaceDirectory(ready, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return { ...image, built: true };
}

/** Equal for equal inputs; 16 hex digits. */
function fingerprint(kernel: KernelPackage, guest: GuestFiles, modules: readonly string[]): string {
  const hash = createHash('sha256');
  const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
  hash.update(
    JSON.stringify([
      RECIPE,
      kernel.name,
      kernel.version,
      KERNEL_ARGS,
      modules,
      GUEST_DIRECTORIES,
      sha256(guest.busybox),
      sha256(guest.initrdInit),
      sha256(guest.findDrive),
      [...guest.rootfs].map(([path, { data, mode }]) => [path, mode, sha256(data)]),
    ]),
  );
  return hash.digest('hex').slice(0, 16);
}
