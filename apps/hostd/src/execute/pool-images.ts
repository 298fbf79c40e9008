import { CodedError, isCodedError } from '@mvm/protocol';
import type { ImageName, PlannedImage } from '../state/launch.js';
import type { PoolAddress } from '../state/layout.js';
import type { PoolRevisions } from '../state/pool-revisions.js';
import type { PoolRecord } from '../state/records.js';
import { requirePool, type StateStore } from '../state/store.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';

/**
 * The images of pools: what their references mean, and which revision their next start boots.
 *
 * INVARIANTS
 * - Whatever writes a pool's record or its revisions does so one at a time per pool.
 */
export interface PoolImages {
  /**
   * What `flake_ref` means on this host now; null when that is not registered. Changes nothing. Throws
   * `image.digest_mismatch`, `image.damaged`, `image.invalid_name`.
   */
  resolve(flakeRef: string): Promise<ImageName | null>;
  /**
   * The image that a start of the pool boots, its files looked at again: the recorded one, or what the reference means
   * now when none is recorded. Changes nothing. Throws `image.not_found`, `image.digest_mismatch`, `image.damaged`.
   */
  forStart(pool: PoolAddress): Promise<PlannedImage>;
  /** Save a pool's record. */
  save(record: PoolRecord): Promise<void>;
  /** Remove the record of a new pool, with its directory. */
  remove(pool: PoolAddress): Promise<void>;
  /**
   * Make the image the pool's current revision, and record it in a pool that has none and still wants it. Revisions that
   * nothing uses are removed. Repeating it changes nothing. Throws as `forStart`.
   */
  activate(pool: PoolAddress, image: ImageName): Promise<void>;
  /** Count a revision as used, before it is activated, until the release: a start under way is in no record yet. */
  hold(pool: PoolAddress, digest: string): () => void;
}

export interface PoolImageDeps {
  readonly store: StateStore;
  readonly revisions: PoolRevisions;
  readonly mutex: KeyedMutex;
}

/**
 * Digests of the revisions that instances of a pool may still be using, with the one that is current; `all` when a record
 * of the tenant is damaged, for that may be of one that sleeps.
 */
function revisionsInUse(store: StateStore, pool: PoolRecord): string[] | 'all' {
  if (store.damaged.some(({ tenantId }) => tenantId === pool.tenant_id)) return 'all';
  const used = store.instancesOf(pool).flatMap((instance) => instance.running_with?.image.digest ?? []);
  return pool.image == null ? used : [...used, pool.image.digest];
}

function notRegistered({ tenant_id, pool_id, flake_ref }: PoolRecord): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'image.not_found',
    message: `pool ${tenant_id}/${pool_id} wants image ${JSON.stringify(flake_ref)}, which is not registered on this host`,
    hint: `Register it as root: mvm image add ${flake_ref.replace(/@.*$/, '')} …, then start again.`,
  });
}

export function createPoolImages({ store, revisions, mutex }: PoolImageDeps): PoolImages {
  const locked = <T>(pool: PoolAddress, work: () => Promise<T>): Promise<T> =>
    mutex.run(`image of ${pool.tenant_id}/${pool.pool_id}`, work);

  /** Revisions that starts under way boot, one entry each. */
  const held = new Set<{ readonly pool: PoolAddress; readonly digest: string }>();
  const heldOf = ({ tenant_id, pool_id }: PoolAddress): string[] =>
    [...held].flatMap(({ pool, digest }) =>
      pool.tenant_id === tenant_id && pool.pool_id === pool_id ? [digest] : [],
    );

  async function resolve(flakeRef: string): Promise<ImageName | null> {
    try {
      const { name, digest } = await revisions.resolve(flakeRef);
      return { name, digest };
    } catch (error) {
      if (!isCodedError(error) || error.reason !== 'image.not_found') throw error;
      return null;
    }
  }

  return {
    resolve,
    forStart: async (pool) => {
      const record = requirePool(store, pool);
      const named = record.image ?? (await resolve(record.flake_ref));
      if (named === null) throw notRegistered(record);
      const image = await revisions.resolve(`${named.name}@${named.digest}`);
      return {
        name: image.name,
        digest: image.digest,
        hasInitrd: image.initrdPath !== null,
        kernelArgs: image.kernelArgs,
      };
    },
    save: (record) => locked(record, () => store.savePool(record)),
    remove: (pool) => locked(pool, () => store.removePool(pool)),
    hold: (pool, digest) => {
      const entry = { pool, digest };
      held.add(entry);
      return () => held.delete(entry);
    },
    activate: (pool, { name, digest }) =>
      locked(pool, async () => {
        const record = requirePool(store, pool);
        const image = await revisions.resolve(`${name}@${digest}`);
        const used = revisionsInUse(store, record);
        await revisions.activate(pool, image, used === 'all' ? used : [...used, ...heldOf(pool)]);
        if (record.image != null) return;
        // The pool may want another image since this one was planned.
        const wanted = await resolve(record.flake_ref);
        if (wanted?.name === name && wanted.digest === digest) {
          await store.savePool({ ...record, image: { name, digest } });
        }
      }),
  };
}
