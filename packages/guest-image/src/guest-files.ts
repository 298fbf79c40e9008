import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exists, readVsockProgram } from '@mvm/guest-boot';
import { GuestImageError } from './errors.js';
import { renderReseedProgram } from './reseed-program.js';

/** What the guest consists of beside the kernel. */
export interface GuestFiles {
  readonly busybox: Buffer;
  /** First program of the initrd. */
  readonly initrdInit: Buffer;
  /** What finds a drive there. */
  readonly findDrive: Buffer;
  /** Files of the root file system by absolute path. */
  readonly rootfs: ReadonlyMap<string, { readonly data: Buffer; readonly mode: number }>;
}

/**
 * `demo`: what the demo shows and users start from. `test`: the same guest, in which tests can run programs over the
 * agent's channel, and which can tag frames for a VLAN.
 */
export type GuestVariant = 'demo' | 'test';

const MODULES = [
  'virtio_mmio',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'virtio_rng',
  'vmw_vsock_virtio_transport',
  'evdev',
  'button',
];

/** Drivers that the guest needs; their own dependencies are found in the modules. */
export const GUEST_MODULES: Readonly<Record<GuestVariant, readonly string[]>> = {
  demo: MODULES,
  test: [...MODULES, '8021q'],
};

/** Directories of the root file system, in order. */
export const GUEST_DIRECTORIES = [
  'bin',
  'config',
  'data',
  'dev',
  'etc',
  'etc/acpi',
  'etc/acpi/PWRF',
  'etc/mvm',
  'proc',
  'run',
  'sbin',
  'secrets',
  'sys',
  'tmp',
] as const;

const BUSYBOX_PATHS = ['/bin/busybox', '/usr/bin/busybox'];
const guestDir = join(dirname(fileURLToPath(import.meta.url)), '..', 'guest');

type Script = readonly [path: string, file: string, mode: number];

/** What a test image has besides, or instead. */
const TEST_SCRIPTS: readonly Script[] = [
  ['/etc/mvm/request', 'test-request', 0o755],
  ['/etc/mvm/sleep-prep', 'test-sleep-prep', 0o755],
  ['/sbin/mvm-agent', 'test-agent', 0o755],
  ['/sbin/mvm-agent.reference', 'mvm-agent', 0o755],
];

/** Read the guest's programs from this package, and busybox from the host (Debian's busybox-static). */
export async function readGuestFiles(variant: GuestVariant = 'demo'): Promise<GuestFiles> {
  const scripts: readonly Script[] = [
    ['/etc/inittab', 'inittab', 0o644],
    ['/sbin/mvm-setup', 'mvm-setup', 0o755],
    ['/sbin/mvm-drive', 'mvm-drive', 0o755],
    ['/sbin/mvm-drives', 'mvm-drives', 0o755],
    ['/sbin/mvm-agent', 'mvm-agent', 0o755],
    ['/sbin/mvm-heartbeat', 'mvm-heartbeat', 0o755],
    ['/sbin/mvm-shutdown', 'mvm-shutdown', 0o755],
    ['/etc/acpi/PWRF/00000080', 'power-button', 0o755],
    ...(variant === 'test' ? TEST_SCRIPTS : []),
  ];
  const rootfs = new Map<string, { data: Buffer; mode: number }>();
  for (const [path, file, mode] of scripts) {
    rootfs.set(path, { data: await readFile(join(guestDir, file)), mode });
  }
  rootfs.set('/sbin/mvm-reseed', { data: renderReseedProgram(), mode: 0o755 });
  rootfs.set('/sbin/mvm-vsock', { data: await readVsockProgram(), mode: 0o755 });
  const [initrdInit, findDrive] = await Promise.all(
    ['initrd-init', 'mvm-drive'].map((file) => readFile(join(guestDir, file))),
  );
  return { busybox: await readBusybox(), initrdInit, findDrive, rootfs } as GuestFiles;
}

async function readBusybox(): Promise<Buffer> {
  for (const path of BUSYBOX_PATHS) {
    if (!(await exists(path))) continue;
    const program = await readFile(path);
    if (isStatic(program)) return program;
  }
  throw new GuestImageError(
    'no statically linked busybox on this machine',
    'Install it: apt-get install busybox-static',
  );
}

/** Whether an ELF64 program names no interpreter (no PT_INTERP segment), so that it runs alone. Source: elf(5). */
export function isStatic(program: Buffer): boolean {
  if (program.length < 64 || program.toString('latin1', 0, 4) !== '\x7fELF' || program[4] !== 2) return false;
  const table = Number(program.readBigUInt64LE(32));
  const entryBytes = program.readUInt16LE(54);
  const entries = program.readUInt16LE(56);
  for (let index = 0; index < entries; index += 1) {
    const at = table + index * entryBytes;
    if (at + 4 > program.length) return false;
    if (program.readUInt32LE(at) === 3) return false;
  }
  return true;
}
