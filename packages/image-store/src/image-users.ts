import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { errnoOf, toStoreError } from './store-error.js';

const poolSchema = z.object({
  flake_ref: z.string(),
  image: z.object({ name: z.string(), digest: z.string() }).nullish(),
});

/** A pool, and what it names. */
export interface ImageUser {
  /** `<tenant>/<pool>`. */
  readonly pool: string;
  readonly imageName: string;
  /** The version that the pool pins, or boots at present; null when that is not known. */
  readonly digest: string | null;
}

/**
 * The pools of a state directory that name an image, as hostd has recorded them, sorted by name. Errors:
 * `permission_denied` (`image.permission_denied`); `failed_precondition` (`image.users_unknown`) when a pool's record is
 * damaged, because any image may be the one that it names.
 */
export async function listImageUsers(stateDir: string): Promise<ImageUser[]> {
  const users: ImageUser[] = [];
  const tenants = join(stateDir, 'tenants');
  for (const tenant of (await entriesOf(tenants)).sort()) {
    for (const pool of (await entriesOf(join(tenants, tenant, 'pools'))).sort()) {
      const record = await readPool(join(tenants, tenant, 'pools', pool, 'pool.json'));
      if (record === undefined) continue;
      const [imageName = '', pinned] = record.flake_ref.split('@');
      users.push({ pool: `${tenant}/${pool}`, imageName, digest: pinned ?? record.image?.digest ?? null });
    }
  }
  return users;
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => !name.startsWith('.'));
  } catch (error) {
    return orAbsent(error, directory, []);
  }
}

/** undefined when the pool has no record, as while it is being made. */
async function readPool(path: string): Promise<z.infer<typeof poolSchema> | undefined> {
  let text: string | undefined;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    text = orAbsent(error, path, undefined);
  }
  if (text === undefined) return undefined;
  try {
    return poolSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'image.users_unknown',
      message: `${path} is damaged: it is not known which image this pool uses`,
      hint: 'mvm doctor says what is damaged; repair or destroy the pool first',
      details: { path },
      cause,
    });
  }
}

function orAbsent<T>(error: unknown, path: string, absent: T): T {
  const errno = errnoOf(error);
  if (errno === 'ENOENT' || errno === 'ENOTDIR') return absent;
  throw toStoreError(error, { doing: 'read the records of pools', path });
}
