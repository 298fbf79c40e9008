import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readdirIfThere } from './read-store.js';

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
 * The pools of a state directory that name an image, as hostd has recorded them; a record that cannot be read counts as
 * none. Errors: `permission_denied` (`image.permission_denied`).
 */
export async function listImageUsers(stateDir: string): Promise<ImageUser[]> {
  const users: ImageUser[] = [];
  const tenants = join(stateDir, 'tenants');
  for (const tenant of await readdirIfThere(tenants)) {
    for (const pool of await readdirIfThere(join(tenants, tenant, 'pools'))) {
      const record = await readPool(join(tenants, tenant, 'pools', pool, 'pool.json'));
      if (record === undefined) continue;
      const [imageName = '', pinned] = record.flake_ref.split('@');
      users.push({ pool: `${tenant}/${pool}`, imageName, digest: pinned ?? record.image?.digest ?? null });
    }
  }
  return users;
}

async function readPool(path: string): Promise<z.infer<typeof poolSchema> | undefined> {
  try {
    return poolSchema.safeParse(JSON.parse(await readFile(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}
