import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, parseTenantId } from '@mvm/protocol';
import { errnoOf, fromFileError } from '../state/fs-error.js';

/** Longest key file in bytes: 64 hexadecimal digits and room for a line's end. */
const MAX_FILE_BYTES = 128;

/**
 * The keys below a directory: `<dir>/<tenant id>.key`, 64 hexadecimal digits, readable by root alone. A key is read when
 * it is needed, so that adding one needs no restart, and never appears in an error.
 */
export function createTenantKeys(directory: string): { find(tenantId: string): Promise<Buffer | null> } {
  return {
    find: async (tenantId) => {
      // SAFETY: the id has the grammar of ids before it becomes part of a path.
      const path = join(directory, `${parseTenantId(tenantId)}.key`);
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return null;
        throw fromFileError(error, `cannot open ${path}`);
      });
      if (file === null) return null;
      try {
        const { mode, uid, size } = await file.stat();
        if (uid !== 0 || (mode & 0o077) !== 0)
          throw badKey(path, 'others than root can read it', 'chown root, chmod 0600');
        if (size > MAX_FILE_BYTES) throw badKey(path, 'it is too long', 'it must hold 64 hexadecimal digits');
        const text = (await file.readFile('latin1')).trim();
        if (!/^[0-9a-f]{64}$/i.test(text)) {
          throw badKey(path, 'it does not hold 64 hexadecimal digits', 'make one: openssl rand -hex 32');
        }
        return Buffer.from(text, 'hex');
      } finally {
        await file.close();
      }
    },
  };
}

function badKey(path: string, why: string, hint: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'tenant.bad_key',
    message: `the key file ${path} cannot be used: ${why}`,
    hint,
  });
}
