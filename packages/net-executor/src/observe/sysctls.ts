import { closeSync, openSync, readSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';

const ROOT = '/proc/sys';
const KEY = /^net\/ipv[46]\/conf\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\/[a-z0-9_]{1,32}$/;

/** The file of a setting. Only settings of one interface's IPv4 or IPv6; else `invalid_argument`, `net.unsafe_text`. */
export function sysctlPath(key: string): string {
  if (KEY.test(key)) return `${ROOT}/${key}`;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'net.unsafe_text',
    message: 'a kernel setting outside net/ipv4/conf and net/ipv6/conf was asked for',
  });
}

const BUFFER = Buffer.alloc(64);

/**
 * The value of a setting without the line's end; null when the kernel or the interface does not have it. Values are
 * numbers of at most 63 characters; thousands are read at a time, hence three system calls and no more.
 */
export function readSysctl(key: string): string | null {
  let fd: number;
  try {
    fd = openSync(sysctlPath(key), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return BUFFER.toString('latin1', 0, readSync(fd, BUFFER)).trim();
  } catch (error) {
    // The interface went away between open and read.
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return null;
    throw error;
  } finally {
    closeSync(fd);
  }
}
