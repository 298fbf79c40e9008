import type { KernelModule } from '@mvm/guest-boot';
import { renderCpio } from '@mvm/guest-boot';
import type { GuestFiles } from './guest-files.js';

const DIRECTORY = 0o040755;
const PROGRAM = 0o100755;
const FILE = 0o100644;

/**
 * The initrd: busybox, the modules with their loading order, and the first program. Not compressed: under emulation
 * the guest spends longer on unpacking than the host on copying. Pure and deterministic.
 */
export function renderInitrd(guest: GuestFiles, modules: readonly KernelModule[]): Buffer {
  const order = `${modules.map((module) => module.fileName).join('\n')}\n`;
  return renderCpio([
    ...['bin', 'dev', 'modules', 'proc', 'root', 'sys'].map((path) => ({ path, mode: DIRECTORY })),
    // The kernel opens it for the first program, before anything could mount a device file system.
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'bin/busybox', mode: PROGRAM, data: guest.busybox },
    { path: 'bin/mvm-drive', mode: PROGRAM, data: guest.findDrive },
    { path: 'init', mode: PROGRAM, data: guest.initrdInit },
    { path: 'modules/order', mode: FILE, data: Buffer.from(order, 'utf8') },
    ...modules.map((module) => ({ path: `modules/${module.fileName}`, mode: FILE, data: module.data })),
  ]);
}
