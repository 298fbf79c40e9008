import { writeFileSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';
import { sysctlPath } from '../observe/sysctls.js';

/**
 * Writes one setting of an interface. Throws `permission_denied`, reason `net.not_permitted`, without the right to, and
 * `internal`, reason `net.sysctl_failed`, when the kernel refuses.
 */
export function writeSysctl(key: string, value: string): void {
  try {
    // PRIVILEGE: settings below /proc/sys/net are root's.
    // SAFETY: sysctlPath accepts settings of one interface only; the value is one of the planner's constants.
    writeFileSync(sysctlPath(key), value);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    throw new CodedError({
      code: denied ? 'permission_denied' : 'internal',
      reason: denied ? 'net.not_permitted' : 'net.sysctl_failed',
      message: `writing ${key}: ${code ?? 'failed'}`,
      hint: denied ? 'Changing kernel settings needs root and a writable /proc/sys.' : undefined,
      cause: error,
    });
  }
}
