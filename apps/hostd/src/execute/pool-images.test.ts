import { CodedError } from '@mvm/protocol';
import { expect, test } from 'vitest';
import { DIGEST, poolRecord } from '../../test/records.js';
import type { PoolRevisions } from '../state/pool-revisions.js';
import type { PoolRecord } from '../state/records.js';
import type { StateStore } from '../state/store.js';
import { createKeyedMutex } from '../system/keyed-mutex.js';
import { createPoolImages } from './pool-images.js';

const address = { tenant_id: 'acme', pool_id: 'workers' };

/** A host on which `demo` is registered, and nothing else; what a start's activation leaves recorded, and what it keeps. */
async function afterActivation(
  pool: PoolRecord,
  { damaged = [] as StateStore['damaged'], hold = [] as string[] } = {},
): Promise<{ image: PoolRecord['image']; keep: readonly string[] | 'all' | null }> {
  let record = pool;
  let kept: readonly string[] | 'all' | null = null;
  const store: Pick<StateStore, 'damaged' | 'tenant' | 'pool' | 'instancesOf' | 'savePool'> = {
    damaged,
    tenant: () => ({}) as ReturnType<StateStore['tenant']>,
    pool: () => record,
    instancesOf: () => [],
    savePool: async (next) => {
      record = next;
    },
  };
  const revisions: PoolRevisions = {
    resolve: async (ref) => {
      if (ref !== 'demo' && ref !== `demo@${DIGEST}`) {
        throw new CodedError({ code: 'not_found', reason: 'image.not_found', message: ref });
      }
      return { name: 'demo', digest: DIGEST } as Awaited<ReturnType<PoolRevisions['resolve']>>;
    },
    activate: async (_pool, _image, keep) => {
      kept = keep;
    },
  };
  const images = createPoolImages({ store: store as StateStore, revisions, mutex: createKeyedMutex() });
  for (const digest of hold) images.hold(address, digest);
  images.hold({ ...address, pool_id: 'others' }, 'sha256:of-others');
  images.hold(address, 'sha256:over')();
  await images.activate(address, { name: 'demo', digest: DIGEST });
  return { image: record.image, keep: kept };
}

test('a start records the image that it boots in a pool that has none', async () => {
  expect((await afterActivation(poolRecord({ image: null }))).image).toEqual({
    name: 'demo',
    digest: DIGEST,
  });
});

test('but not in one that wants another image since the start was planned', async () => {
  expect((await afterActivation(poolRecord({ image: null, flake_ref: 'other' }))).image).toBeNull();
});

test('of the revisions, those that starts under way boot are kept, and all when a record is damaged', async () => {
  const pool = poolRecord({ image: { name: 'demo', digest: DIGEST } });
  expect((await afterActivation(pool, { hold: ['sha256:old'] })).keep).toEqual([DIGEST, 'sha256:old']);
  const damaged = [{ tenantId: 'acme', path: '/x', problem: 'not JSON' }];
  expect((await afterActivation(pool, { damaged })).keep).toBe('all');
  expect(
    (await afterActivation(pool, { damaged: [{ ...damaged[0], tenantId: 'b' }] as never })).keep,
  ).toEqual([DIGEST]);
});
