import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  exists,
  findKernelPackage,
  type KernelModule,
  modulesDirOf,
  orderModules,
  readModules,
  renderCpio,
  replaceDirectory,
  runTool,
  unpackKernelPackage,
} from '@mvm/guest-boot';

/** Raised when the same inputs would give other files. */
const RECIPE = 1;

/** What the first program needs to mount the host's files; everything else is loaded from there. */
const FIRST_MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];

/** Files of the emulated machine; absolute paths. */
export interface MachineFiles {
  readonly kernel: string;
  readonly initrd: string;
  /** What `/lib/modules/<release>` is. */
  readonly modules: string;
}

/** A file of the machine's, in `guest/`. */
export function guestFile(name: string): string {
  return join(import.meta.dirname, '../../guest', name);
}

/**
 * Builds the machine's kernel and initrd below `cacheDir`, or finds an earlier build of the same inputs. The kernel is
 * Debian's generic one, for the cloud flavour has no 9p. A build appears complete or not at all. Needs Debian 12 on amd64
 * with current package lists, busybox-static and kmod. Throws `kernel.unusable`.
 */
export async function buildMachine(
  cacheDir: string,
  onProgress: (what: string) => void,
): Promise<MachineFiles> {
  const [kernel, busybox, init] = await Promise.all([
    findKernelPackage('generic'),
    readFile('/bin/busybox'),
    readFile(guestFile('init')),
  ]);
  const hash = createHash('sha256').update(JSON.stringify([RECIPE, kernel, FIRST_MODULES]));
  for (const file of [busybox, init]) hash.update(createHash('sha256').update(file).digest());
  const directory = join(cacheDir, `machine-${hash.digest('hex').slice(0, 16)}`);
  const files = {
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd.cpio'),
    modules: join(directory, 'modules'),
  };
  if (await exists(directory)) return files;

  await mkdir(cacheDir, { recursive: true });
  const staging = await mkdtemp(join(cacheDir, '.machine-'));
  try {
    const { root, release } = await unpackKernelPackage(kernel, staging, onProgress);
    onProgress('making the initrd of the KVM machine');
    const modules = await modulesDirOf(root, release);
    await runTool('depmod', ['-b', root, release]);
    const ready = join(staging, 'ready');
    await mkdir(ready);
    await copyFile(join(root, 'boot', `vmlinuz-${release}`), join(ready, 'vmlinuz'));
    const first = orderModules(await readModules(modules, FIRST_MODULES), FIRST_MODULES);
    await writeFile(join(ready, 'initrd.cpio'), renderInitrd(busybox, init, first));
    await rename(modules, join(ready, 'modules'));
    await replaceDirectory(ready, directory);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return files;
}

function renderInitrd(busybox: Buffer, init: Buffer, modules: readonly KernelModule[]): Buffer {
  const directories = ['bin', 'dev', 'host', 'layer', 'modules', 'proc', 'root', 'sys'];
  const order = modules.map(({ fileName }) => `${fileName}\n`).join('');
  return renderCpio([
    ...directories.map((path) => ({ path, mode: 0o040755 })),
    // The kernel opens it for the first program, before anything could mount a device file system.
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'bin/busybox', mode: 0o100755, data: busybox },
    { path: 'init', mode: 0o100755, data: init },
    { path: 'modules/order', mode: 0o100644, data: Buffer.from(order) },
    ...modules.map(({ fileName, data }) => ({ path: `modules/${fileName}`, mode: 0o100644, data })),
  ]);
}
