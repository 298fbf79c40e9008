import { constants } from 'node:fs';
import { type FileHandle, open, readdir, readFile, stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { fromFileError } from '../../state/fs-error.js';
import { lastErrorName, lockBytes } from '../../system/libc.js';
import type { VmDrive, VmSpec } from '../vmm.js';

/** The byte of an image that a QEMU has a lock on while it writes it. Source: QEMU 7.2, block/file-posix.c. */
const WRITER_BYTE = 101;
/** The byte that it has a lock on to keep other writers away. */
const SOLE_WRITER_BYTE = 201;

/** A lock of fcntl(2) on bytes `from`…`to` of a file, which has a name of the kernel's own. */
export interface FileLock {
  readonly file: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Opens a drive and locks it as a QEMU does, and alone: the lock is the open file's, so whoever inherits the descriptor has it
 * until it ends. Throws `failed_precondition`, `disk.in_use`; `state.io_error`.
 */
export async function openLocked({ id, path }: VmDrive, { vmId }: Pick<VmSpec, 'vmId'>): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_NOFOLLOW;
  const file = await open(path, flags).catch((error: unknown) => {
    throw fromFileError(error, `cannot open ${path}`);
  });
  for (const byte of [WRITER_BYTE, SOLE_WRITER_BYTE]) {
    if (lockBytes(file.fd, byte, 1) === 0) continue;
    const errno = lastErrorName();
    await file.close();
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'disk.in_use',
      message: `cannot launch the VM ${vmId}: another process has a lock on its drive ${id} (${errno})`,
      hint: 'Another process still has the disk: look for an older VMM of this instance.',
      details: { vm_id: vmId },
    });
  }
  return file;
}

/**
 * The writable drives that a VMM does not have, or not alone: those that it has no lock on, and those that another process
 * has one on for writing. Those that are only read have no locks: nothing but hostd can write to
 * them. A restored QEMU takes its locks once its state is loaded, and keeps them for as long as it lives; that it lets no other
 * process write it says only when it is let run, and then to its log alone.
 * PRIVILEGE: /proc/<pid>/fd of another user's process.
 */
export async function findUnheldLocks(pid: number, drives: readonly VmDrive[]): Promise<VmDrive[]> {
  const opened = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map(async (fd) => {
      // One that is closed meanwhile is no image.
      const [file, info] = await Promise.all([
        stat(`/proc/${pid}/fd/${fd}`, { bigint: true }).catch(() => null),
        readFile(`/proc/${pid}/fdinfo/${fd}`, 'latin1').catch(() => ''),
      ]);
      return { file, locks: parseLocks(info) };
    }),
  );
  const writers = parseLocks(await readFile('/proc/locks', 'latin1')).filter((lock) =>
    covers(lock, WRITER_BYTE),
  );
  const unheld: VmDrive[] = [];
  for (const drive of drives.filter(({ readOnly }) => !readOnly)) {
    const { dev, ino } = await stat(drive.path, { bigint: true });
    const own = opened
      .filter(({ file }) => file?.dev === dev && file.ino === ino)
      .flatMap(({ locks }) => locks)
      .find((lock) => covers(lock, WRITER_BYTE));
    const writing = writers.filter(({ file }) => file === own?.file).length;
    if (own === undefined || writing > 1) unheld.push(drive);
  }
  return unheld;
}

function covers({ from, to }: FileLock, byte: number): boolean {
  return from <= byte && byte <= to;
}

/** The locks in the text of /proc/locks, or of a /proc/<pid>/fdinfo/<fd>; no flock(2), and none that waits. Pure. Source: proc(5). */
export function parseLocks(text: string): FileLock[] {
  const lines = text.matchAll(/^(?:lock:\s+)?\d+: (?:POSIX|OFDLCK)\s+\S+\s+\S+ \S+ (\S+) (\d+) (\d+|EOF)$/gm);
  return [...lines].map(([, file = '', from, to]) => ({
    file,
    from: Number(from),
    to: to === 'EOF' ? Infinity : Number(to),
  }));
}
