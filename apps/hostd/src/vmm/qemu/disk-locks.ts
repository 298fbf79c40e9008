import { readdir, readFile, stat } from 'node:fs/promises';
import type { VmDrive } from '../vmm.js';

/** The byte of an image that a QEMU has a lock on while it writes it. Source: QEMU 7.2, block/file-posix.c. */
const WRITER_BYTE = 101;

/** A lock of fcntl(2) on bytes `from`…`to` of a file, which has a name of the kernel's own. */
export interface FileLock {
  readonly file: string;
  readonly from: number;
  readonly to: number;
}

/**
 * The writable drives that a QEMU does not have, or not alone: those that it has no lock on, and those that another process
 * has one on for writing. Those that are only read have no locks: nothing but hostd can write to them. A restored QEMU takes its locks once its state is loaded, and keeps them for as long as it lives; that it
 * lets no other process write it says only when it is let run, and then to its log alone.
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
  const contested: VmDrive[] = [];
  for (const drive of drives.filter(({ readOnly }) => !readOnly)) {
    const { dev, ino } = await stat(drive.path, { bigint: true });
    const own = opened
      .filter(({ file }) => file?.dev === dev && file.ino === ino)
      .flatMap(({ locks }) => locks)
      .find((lock) => covers(lock, WRITER_BYTE));
    const writing = writers.filter(({ file }) => file === own?.file).length;
    if (own === undefined || writing > 1) contested.push(drive);
  }
  return contested;
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
