import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from '@mvm/errors';
import { isTemporaryName, syncDirectory, withDirectoryLock, writeFileAtomic } from '@mvm/node-host';
import { CodedError, isCodedError } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { parseSecrets, renderSecrets } from './document.js';
import { checkSizes, MAX_SECRETS, MAX_TOTAL_BYTES } from './names.js';

/** A file may be larger than its values: escapes take up to six bytes for one. */
const MAX_FILE_BYTES = 6 * MAX_TOTAL_BYTES + 1024 * MAX_SECRETS;

/** Where a tenant's secrets are below a state directory. Throws `id.invalid`. */
export function secretsPath(stateDir: string, tenantId: string): string {
  // SAFETY: the id has the grammar of ids before it becomes part of a path.
  return join(stateDir, 'tenants', parseTenantId(tenantId), 'secrets.json');
}

/**
 * A tenant's secrets; none without a file. Only a regular file of the caller's (root's, for
 * hostd) that no other user can read is accepted. Throws
 * `failed_precondition`, `secrets.damaged` or `secrets.exposed`, `permission_denied` `secrets.permission_denied`,
 * `internal` `secrets.io`; never with anything of the content.
 */
export async function readSecrets(path: string): Promise<Map<string, string>> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return new Map();
    throw ioError(error, `cannot open ${path}`);
  }
  try {
    const entry = await file.stat();
    if (!entry.isFile()) throw exposed(path, 'it is not a regular file');
    if (entry.uid !== process.geteuid?.() || (entry.mode & 0o077) !== 0)
      throw exposed(path, 'another user owns it, or others can read it');
    if (entry.size > MAX_FILE_BYTES) throw exposed(path, `it is larger than ${MAX_FILE_BYTES} bytes`);
    return parseSecrets(await file.readFile('utf8'), path);
  } catch (error) {
    throw ioError(error, `cannot read ${path}`);
  } finally {
    await file.close();
  }
}

/**
 * Change a tenant's secrets while no other process changes secrets on this host, so that no change is lost: `edit` gets
 * what there is, and what it throws is thrown with nothing changed. After a crash the file has the old ones or the new
 * ones. Durable when it returns; 0600, root's. The tenant's directory is made when it is not there, so that secrets can
 * come before the tenant. Throws as `readSecrets`, `secrets.too_large`, and `aborted`, reason `secrets.busy`.
 */
export async function changeSecrets(
  path: string,
  edit: (secrets: Map<string, string>) => unknown,
): Promise<void> {
  const tenantDir = dirname(path);
  const tenantsDir = dirname(tenantDir);
  try {
    await withDirectoryLock(tenantsDir, async () => {
      const secrets = await readSecrets(path);
      edit(secrets);
      checkSizes(secrets);
      const made = await mkdir(tenantDir, { recursive: true, mode: 0o700 });
      if (made !== undefined) await syncDirectory(tenantsDir);
      await removeUnfinished(tenantDir, basename(path));
      await writeFileAtomic(path, renderSecrets(secrets));
    });
  } catch (error) {
    throw ioError(error, `cannot write ${path}`);
  }
}

/** Remove what killed writers left: it holds secrets. Under the lock, so that it is no writer's that lives. */
async function removeUnfinished(dir: string, file: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (isTemporaryName(name) && name.startsWith(`.${file}.`)) await rm(join(dir, name), { force: true });
  }
}

/** Whether a state directory is there at all: secrets for a host that has none would go nowhere. */
export async function isStateDir(stateDir: string): Promise<boolean> {
  return stat(join(stateDir, 'tenants')).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}

function exposed(path: string, why: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'secrets.exposed',
    message: `${path} is not used: ${why}`,
    hint: 'chown root:root and chmod 0600 it; if others could read it, replace the secrets in it.',
  });
}

function ioError(error: unknown, doing: string): CodedError {
  if (isCodedError(error)) return error;
  const errno = errnoOf(error) ?? 'unknown error';
  if (errno === 'EAGAIN') {
    return new CodedError({
      code: 'aborted',
      reason: 'secrets.busy',
      message: `${doing}: another command changes secrets on this host for a minute already`,
      hint: 'Find that command (fuser shows it), or wait for its end, then repeat this one.',
      cause: error,
    });
  }
  const denied = errno === 'EACCES' || errno === 'EPERM';
  return new CodedError({
    code: denied ? 'permission_denied' : 'internal',
    reason: denied ? 'secrets.permission_denied' : 'secrets.io',
    message: `${doing}: ${errno}`,
    hint: denied ? 'Secrets belong to root: run the command with sudo.' : undefined,
    cause: error,
  });
}
