import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import { errnoOf, fromFileError } from '../state/fs-error.js';

/** Longest key file in bytes: 64 hexadecimal digits and room for a line's end. */
const MAX_FILE_BYTES = 128;
/** Before the tenant's id in capitals, with `_` for `-`: no two tenants share a variable. */
const KEY_VARIABLE_PREFIX = 'MVM_TENANT_KEY_';
const KEY = /^[0-9a-f]{64}$/i;

/** Keys that tenants' snapshots are sealed, and their data volumes encrypted with. */
export interface TenantKeys {
  /** 32 bytes, or null when the tenant has none on this host. Throws `failed_precondition`, `tenant.bad_key`. */
  find(tenantId: string): Promise<Buffer | null>;
}

/** Where keys may be besides the directory of the configuration. */
export interface KeySources {
  /** systemd's for this service, or null. Source: systemd.exec(5), LoadCredential=. */
  readonly credentialsDir: string | null;
  /** By the variable's name. */
  readonly variables: ReadonlyMap<string, Buffer>;
}

/**
 * The sources that the environment names. Variables with keys are taken out of it, so that no child gets them. Throws
 * `invalid_argument`, `config.invalid`, for one that holds no key; the value is in no error.
 */
export function takeKeySources(environment: NodeJS.ProcessEnv): KeySources {
  const variables = new Map<string, Buffer>();
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!name.startsWith(KEY_VARIABLE_PREFIX)) continue;
    delete environment[name];
    if (!KEY.test(value.trim())) {
      throw new CodedError({
        code: 'invalid_argument',
        reason: 'config.invalid',
        message: `${name} does not hold 64 hexadecimal digits`,
        hint: 'Make a key: openssl rand -hex 32; or unset the variable.',
      });
    }
    variables.set(name, Buffer.from(value.trim(), 'hex'));
  }
  const dir = environment.CREDENTIALS_DIRECTORY;
  return { credentialsDir: dir !== undefined && isAbsolute(dir) ? dir : null, variables };
}

/**
 * The keys of tenants, 64 hexadecimal digits each: of `<directory>/<tenant id>.key`, else of a credential of that name,
 * else of the tenant's variable. Files are readable by root alone, and read when they are needed, so that adding a key
 * needs no restart. A key never appears in an error.
 */
export function createTenantKeys(
  directory: string,
  { credentialsDir, variables }: KeySources = { credentialsDir: null, variables: new Map() },
): TenantKeys {
  const directories = [directory, ...(credentialsDir === null ? [] : [credentialsDir])];
  return {
    find: async (tenantId) => {
      // SAFETY: the id has the grammar of ids before it becomes part of a path.
      const id = parseTenantId(tenantId);
      for (const dir of directories) {
        const key = await readKeyFile(join(dir, `${id}.key`));
        if (key !== null) return key;
      }
      const variable = variables.get(KEY_VARIABLE_PREFIX + id.toUpperCase().replaceAll('-', '_'));
      return variable === undefined ? null : Buffer.from(variable);
    },
  };
}

/** The key in a file, or null when there is none. Throws `failed_precondition`, `tenant.bad_key`. */
async function readKeyFile(path: string): Promise<Buffer | null> {
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
    if (!KEY.test(text)) {
      throw badKey(
        path,
        'it does not hold 64 hexadecimal digits',
        "put the tenant's key back; for a tenant that never had one: openssl rand -hex 32",
      );
    }
    return Buffer.from(text, 'hex');
  } finally {
    await file.close();
  }
}

function badKey(path: string, why: string, hint: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'tenant.bad_key',
    message: `the key file ${path} cannot be used: ${why}`,
    hint,
  });
}
