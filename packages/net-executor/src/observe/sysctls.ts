import { readFileSync } from 'node:fs';
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

/** The value of a setting without the line's end; null when the kernel or the interface does not have it. */
export function readSysctl(key: string): string | null {
  try {
    return readFileSync(sysctlPath(key), 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EINVAL: the interface went away between open and read.
    if (code === 'ENOENT' || code === 'EINVAL') return null;
    throw error;
  }
}
