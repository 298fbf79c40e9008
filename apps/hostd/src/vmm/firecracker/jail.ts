/**
 * The jail of one Firecracker: a file system in memory, in a mount namespace of its own, that holds the program, its
 * devices and sockets, and single files of the host.
 *
 * INVARIANTS
 * - Nothing of it is seen in, or left on, the host: it is gone with the process, however that ends.
 * - A file that VMs share is never given to a VM's user: it must be readable by all, and is mounted read-only.
 * - Once the process serves, every directory of the jail is root's: it can make, replace or remove nothing there, so that
 *   hostd can follow paths in it.
 */
import { chmodSync, chownSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { chown, mkdir, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { errnoOf, fromFileError } from '../../state/fs-error.js';
import { lastErrorName, mount } from '../../system/libc.js';
import { VMM_OPEN_FILES } from '../process/resource-limits.js';
import type { VmSpec } from '../vmm.js';
import { apiSocketPath, JAIL } from './machine.js';

// Source: linux/mount.h.
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_REMOUNT = 32;
const MS_BIND = 4096;

const MIB = 1_048_576;
/** The program's copy, which is a few MiB, and devices. */
const JAIL_MIB = 64;
/** A VM's state beside its memory, twice: one that is loaded, one that is saved. */
const VMSTATE_MIB = 64;

/** A file of the host that is seen in the jail. */
export interface JailFile {
  /** Absolute, inside. */
  readonly name: string;
  /** Absolute, outside. */
  readonly source: string;
  readonly readOnly: boolean;
}

export interface JailOptions {
  readonly vmId: string;
  readonly uid: number;
  readonly gid: number;
  readonly socketDir: string;
  readonly memMib: number;
  /** Firecracker's program, whose name the jail's directory bears. */
  readonly program: string;
  readonly files: readonly JailFile[];
}

/** Where the jailer makes its jails; the host sees an empty directory. */
function jailBase({ socketDir }: Pick<VmSpec, 'socketDir'>): string {
  return join(socketDir, 'jail');
}

/** Makes the directory that the jail is mounted on; root's, whatever our umask is. */
export async function makeJailBase(spec: Pick<VmSpec, 'socketDir'>): Promise<void> {
  const base = jailBase(spec);
  // Not recursive, which reports a read-only file system as ENOENT. An earlier VM may have left it.
  await mkdir(base, { mode: 0o755 }).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw fromFileError(error, `cannot make ${base}`);
  });
}

/**
 * Mounts the jail's file system and its files. To be called in a mount namespace of its own; awaits nothing. Throws
 * `internal`, reason `vmm.jail_failed`. PRIVILEGE: CAP_SYS_ADMIN, CAP_CHOWN. SAFETY: no other process can be in the jail yet, and
 * all names are hostd's own.
 */
export function buildJail({ vmId, uid, gid, socketDir, memMib, program, files }: JailOptions): void {
  const base = jailBase({ socketDir });
  mountAt('tmpfs', base, 'tmpfs', MS_NOSUID, `mode=0755,size=${JAIL_MIB}m,nr_inodes=256`);
  const root = join(base, basename(program), vmId, 'root');
  const makeDirectory = (path: string): void => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o755);
  };
  makeDirectory(join(root, socketDir));
  chownSync(join(root, socketDir), uid, gid);
  makeDirectory(join(root, JAIL.stateDir));
  const stateMib = 2 * (memMib + VMSTATE_MIB);
  mountAt(
    'tmpfs',
    join(root, JAIL.stateDir),
    'tmpfs',
    MS_NOSUID | MS_NODEV | MS_NOEXEC,
    `mode=0755,size=${stateMib}m,nr_inodes=16`,
  );
  for (const { name, source, readOnly } of files) {
    const target = join(root, name);
    writeFileSync(target, '', { flag: 'wx', mode: 0o444 });
    mountAt(source, target, null, MS_BIND, null);
    const flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC | (readOnly ? MS_RDONLY : 0);
    mountAt(null, target, null, flags, null);
  }
}

function mountAt(
  source: string | null,
  target: string,
  type: string | null,
  flags: number,
  options: string | null,
): void {
  if (mount(source, target, type, flags, options) === 0) return;
  const errno = lastErrorName();
  throw new CodedError({
    code: 'internal',
    reason: 'vmm.jail_failed',
    message: `cannot mount ${source ?? 'read-only'} at ${target} for a jail: ${errno}`,
    hint: 'Look at free memory, and compare hostd’s unit with the one that is shipped.',
    details: { errno },
  });
}

/** The jailer's arguments. Pure. */
export function jailerArgv(
  { vmId, uid, gid, socketDir, program }: Omit<JailOptions, 'files' | 'memMib'>,
  fileBytes: number,
): string[] {
  return [
    ...['--id', vmId, '--exec-file', program, '--uid', String(uid), '--gid', String(gid)],
    ...['--chroot-base-dir', jailBase({ socketDir })],
    ...['--resource-limit', `fsize=${fileBytes}`, '--resource-limit', `no-file=${VMM_OPEN_FILES}`],
    // At its usual level Firecracker logs the body of every request.
    ...['--', '--api-sock', apiSocketPath({ socketDir }), '--level', 'Error'],
  ];
}

/** The path by which hostd reaches a name of a jail. PRIVILEGE: CAP_SYS_PTRACE. */
export function throughJail(pid: number, name: string): string {
  return join(`/proc/${pid}/root`, name);
}

/**
 * Gives every directory of the jail to root, once Firecracker has made its sockets there. SAFETY: no guest has run yet,
 * and the names are hostd's and the jailer's.
 */
export async function closeJail(pid: number, { socketDir }: Pick<VmSpec, 'socketDir'>): Promise<void> {
  const directories = new Set(['/', '/dev', '/dev/net', '/run']);
  for (let path = socketDir; path !== '/'; path = dirname(path)) directories.add(path);
  for (const name of directories) {
    const directory = await open(
      throughJail(pid, name),
      constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
    );
    try {
      // PRIVILEGE: CHOWN and FOWNER; searched by all, written by none.
      await directory.chown(0, 0);
      await directory.chmod(0o755);
    } finally {
      await directory.close();
    }
  }
}

/**
 * Lets a VM's user read, and for a writable one write, a file that is its VM's alone; one that all may read is left
 * alone. Throws `internal`, `vmm.jail_failed`, for a file that is shared.
 */
export async function admitUser(
  { source, readOnly }: JailFile,
  { uid, gid }: Pick<VmSpec, 'uid' | 'gid'>,
): Promise<void> {
  const file = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    throw fromFileError(error, `cannot open ${source}`);
  });
  try {
    const { mode, nlink, uid: owner } = await file.stat();
    if ((readOnly && (mode & 0o004) !== 0) || owner === uid) return;
    if (nlink > 1) {
      throw new CodedError({
        code: 'internal',
        reason: 'vmm.jail_failed',
        message: `${source} has ${nlink} names, and cannot be given to a VM’s user`,
        hint: 'Import the image again; report it if it persists.',
      });
    }
    // PRIVILEGE: CHOWN. SAFETY: an own file of this VM, with one name, below directories of root alone.
    await file.chown(uid, gid);
  } finally {
    await file.close();
  }
}

/** Makes a file in a jail that its user can write. */
export async function makeJailFile(
  pid: number,
  name: string,
  { uid, gid }: Pick<VmSpec, 'uid' | 'gid'>,
): Promise<void> {
  const path = throughJail(pid, name);
  await (await open(path, 'wx', 0o600)).close();
  await chown(path, uid, gid);
}

/** MiB in bytes. */
export const mibBytes = (mib: number): number => mib * MIB;
