import { CodedError, isCodedError } from '@mvm/protocol';
import type { PoolAddress } from '../state/layout.js';
import type { PoolRevisions } from '../state/pool-revisions.js';
import type { PoolRecord } from '../state/records.js';
import { requirePool, type StateStore } from '../state/store.js';
import type { KeyedMutex } from './keyed-mutex.js';
import type { PlannedImage } from './steps.js';

/** What the images of pools are kept with; changes to one pool's run one at a time, under the mutex. */
export interface PoolImageDeps {
  readonly store: StateStore;
  readonly revisions: PoolRevisions;
  readonly mutex: KeyedMutex;
}

function locked<T>(deps: PoolImageDeps, pool: PoolAddress, work: () => Promise<T>): Promise<T> {
  return deps.mutex.run(`image of ${pool.tenant_id}/${pool.pool_id}`, work);
}

/** Digests of the revisions that instances of a pool may still be using, with the one that is current. */
function revisionsInUse(store: StateStore, pool: PoolRecord): string[] {
  const used = store.instancesOf(pool).flatMap((instance) => instance.running_with?.image.digest ?? []);
  return pool.image == null ? used : [...used, pool.image.digest];
}

/**
 * Point the pool to what its `flake_ref` means now. Answers the record with its `image`, saved; null there when the
 * image is not registered on this host. Throws `image.digest_mismatch`, `image.damaged`, `image.invalid_name`.
 */
export function refreshPoolImage(deps: PoolImageDeps, record: PoolRecord): Promise<PoolRecord> {
  return locked(deps, record, () => refresh(deps, record));
}

async function refresh(deps: PoolImageDeps, record: PoolRecord): Promise<PoolRecord> {
  let image: PoolRecord['image'] = null;
  try {
    const resolved = await deps.revisions.resolve(record.flake_ref);
    await deps.revisions.activate(record, resolved, revisionsInUse(deps.store, record));
    image = { name: resolved.name, digest: resolved.digest };
  } catch (error) {
    if (!isCodedError(error) || error.reason !== 'image.not_found') throw error;
  }
  const next = { ...record, image };
  await deps.store.savePool(next);
  return next;
}

/**
 * The image that a start boots: the pool's current revision, its files looked at again. A pool whose image was not
 * registered before is looked up once more. Throws `image.not_found`, `image.digest_mismatch`, `image.damaged`.
 */
export function currentImage(deps: PoolImageDeps, pool: PoolAddress): Promise<PlannedImage> {
  return locked(deps, pool, () => current(deps, pool));
}

async function current(deps: PoolImageDeps, pool: PoolAddress): Promise<PlannedImage> {
  let record = requirePool(deps.store, pool);
  if (record.image == null) record = await refresh(deps, record);
  if (record.image == null) {
    throw new CodedError({
      code: 'not_found',
      reason: 'image.not_found',
      message: `pool ${pool.tenant_id}/${pool.pool_id} wants image ${JSON.stringify(record.flake_ref)}, which is not registered on this host`,
      hint: `Register it as root: mvm image add ${record.flake_ref.replace(/@.*$/, '')} …, then start again.`,
    });
  }
  const image = await deps.revisions.resolve(`${record.image.name}@${record.image.digest}`);
  await deps.revisions.activate(pool, image, revisionsInUse(deps.store, record));
  return {
    name: image.name,
    digest: image.digest,
    hasInitrd: image.initrdPath !== null,
    kernelArgs: image.kernelArgs,
  };
}
