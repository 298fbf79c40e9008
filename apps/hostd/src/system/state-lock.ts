import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { flock, lastErrorName } from './libc.js';

export interface StateLock {
  /** Let go; the kernel does the same when the process ends, however it ends. */
  release(): void;
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Take the only right to change a state directory: an exclusive flock(2) on `<stateDir>/hostd.lock`, which also holds
 * our pid. Not inherited by children (O_CLOEXEC). Throws `already_exists`, reason `state.locked`, naming the process
 * that has it. Source: flock(2).
 */
export function lockStateDir(stateDir: string): StateLock {
  const path = join(stateDir, 'hostd.lock');
  // 'a+' creates, does not truncate: the file's text is the holder's pid.
  const fd = openSync(path, 'a+', 0o600);
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const why = lastErrorName();
    const holder = readFileSync(fd, 'utf8').trim();
    closeSync(fd);
    throw new CodedError({
      code: 'already_exists',
      reason: 'state.locked',
      message: `another mvm-hostd (pid ${/^\d+$/.test(holder) ? holder : 'unknown'}) uses ${stateDir} (${why})`,
      hint: 'Stop that one first, or give this one another --state-dir, --run-dir and --socket.',
      details: { pid: /^\d+$/.test(holder) ? Number(holder) : null },
    });
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return {
    release: () => {
      closeSync(fd);
    },
  };
}
