import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';

/**
 * Which pools of the host use which image: by the image's name, the pools as `tenant/pool`, sorted. Reads hostd's records
 * below `stateDir`; a directory without any has no pools. `permission_denied`, reason `image.permission_denied`, when they
 * may not be read.
 */
export async function poolsUsing(stateDir: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const users = new Map<string, string[]>();
  const tenantsDir = join(stateDir, 'tenants');
  for (const tenant of await entriesOf(tenantsDir)) {
    const poolsDir = join(tenantsDir, tenant, 'pools');
    for (const pool of await entriesOf(poolsDir)) {
      const name = await imageOf(join(poolsDir, pool, 'pool.json'));
      if (name !== null) users.set(name, [...(users.get(name) ?? []), `${tenant}/${pool}`]);
    }
  }
  return users;
}

async function entriesOf(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    return orElse(error, dir, []);
  }
}

/** The name in the record's `flake_ref`, `name` or `name@sha256:…`; null when there is no such record. */
async function imageOf(path: string): Promise<string | null> {
  try {
    const { flake_ref } = JSON.parse(await readFile(path, 'utf8'));
    return typeof flake_ref === 'string' ? (flake_ref.split('@', 1)[0] ?? null) : null;
  } catch (error) {
    // hostd reports a damaged record; it names no image.
    return error instanceof SyntaxError ? null : orElse(error, path, null);
  }
}

function orElse<T>(error: unknown, path: string, fallback: T): T {
  const errno = (error as NodeJS.ErrnoException).code;
  if (errno === 'ENOENT' || errno === 'ENOTDIR') return fallback;
  if (errno !== 'EACCES' && errno !== 'EPERM') throw error;
  throw new CodedError({
    code: 'permission_denied',
    reason: 'image.permission_denied',
    message: `cannot read ${path}`,
    hint: 'images are managed by root: sudo mvm image …',
    details: { path },
    cause: error,
  });
}
