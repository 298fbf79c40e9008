import { readFile } from 'node:fs/promises';
import { renderCpio } from './cpio.js';
import { kernelUnusable } from './errors.js';
import type { KernelModule } from './modules.js';
import { type RunConfig, renderRunConfig } from './run-config.js';

/** Modules that a guest of an imported image needs; what they depend on is found in them. */
export const BOOT_MODULES = [
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'virtio_rng',
  'vmw_vsock_virtio_transport',
  'evdev',
  'button',
  'erofs',
  'overlay',
] as const;

/** Kernel command line of imported images; `quiet` because each console line costs the guest time. */
export const BOOT_KERNEL_ARGS = 'console=ttyS0 panic=-1 reboot=t random.trust_cpu=on cryptomgr.notests quiet';

/** The guest's first program, as `pnpm build` made it. Throws `kernel.unusable` when it is missing. */
export function readInitProgram(): Promise<Buffer> {
  return readGuestProgram('mvm-init', new URL('../dist/mvm-init', import.meta.url));
}

/** What runs a guest's agent over vsock, as `pnpm build` made it. Throws `kernel.unusable` when it is missing. */
export function readVsockProgram(): Promise<Buffer> {
  return readGuestProgram('mvm-vsock', new URL('../dist/mvm-vsock', import.meta.url));
}

/** `location` is written out where it is used: the bundler finds the files to carry along by that. */
async function readGuestProgram(name: string, location: URL): Promise<Buffer> {
  try {
    return await readFile(location);
  } catch (error) {
    throw kernelUnusable(`the guests’ program ${name} is not built`, 'Run pnpm build.', error);
  }
}

/** A module's file and content, in loading order. */
export type BootModule = Pick<KernelModule, 'fileName' | 'data'>;

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
const FILE = 0o100644;

/** The initrd of an imported image: needs nothing of the image. Pure and deterministic. */
export function renderBootInitrd(init: Buffer, modules: readonly BootModule[], run: RunConfig): Buffer {
  const order = modules.map(({ fileName }) => `${fileName}\n`).join('');
  return renderCpio([
    ...['dev', 'modules', 'proc', 'sys'].map((path) => ({ path, mode: DIRECTORY })),
    // The kernel opens it for the first program, before anything could mount a device file system.
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'init', mode: PROGRAM, data: init },
    { path: 'run.conf', mode: FILE, data: renderRunConfig(run) },
    { path: 'modules/order', mode: FILE, data: Buffer.from(order, 'utf8') },
    ...modules.map(({ fileName, data }) => ({ path: `modules/${fileName}`, mode: FILE, data })),
  ]);
}
