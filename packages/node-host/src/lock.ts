import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';

/** Exit status of flock(1) when another process has the lock; chosen so that no other failure looks like it. */
const CONFLICT = 93;
/** How long a change waits for the changes before it: each takes milliseconds. */
const WAIT_SECS = 60;

/**
 * Take an exclusive flock(2) on an open file or directory. False when another open file has it for all of `waitSecs`. The
 * lock ends when `file` is closed or this process is gone, even by SIGKILL. Rejects with ENOENT, syscall `spawn flock`,
 * when the command is missing.
 *
 * The command `flock` (util-linux) is given the file as its stdin, locks it and ends; the lock belongs to the open file and
 * so stays. Source: flock(2), flock(1).
 */
export async function lockHandle(file: FileHandle, waitSecs: number): Promise<boolean> {
  const args = ['--exclusive', '--timeout', String(waitSecs), '--conflict-exit-code', String(CONFLICT), '0'];
  const child = spawn('flock', args, { stdio: [file.fd, 'ignore', 'ignore'] });
  const [status] = await once(child, 'close');
  if (status === 0) return true;
  if (status === CONFLICT) return false;
  throw new Error(`flock ended with status ${String(status)}`);
}

/**
 * Run `use` as the only one that has this directory locked: what reads, then writes, in it loses no other process's
 * change. It leaves no file. Throws EAGAIN when others have the lock for a minute, and as Node.js has it.
 */
export async function withDirectoryLock<T>(path: string, use: () => Promise<T>): Promise<T> {
  const directory = await open(path, 'r');
  try {
    if (!(await lockHandle(directory, WAIT_SECS))) {
      throw Object.assign(new Error(`another process has ${path} locked`), { code: 'EAGAIN' });
    }
    return await use();
  } finally {
    await directory.close();
  }
}
